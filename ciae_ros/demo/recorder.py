# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Records what the node publishes: a video, a contact sheet, a summary and a report."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import rclpy
from ciae_msgs.msg import PanopticSegments
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tqdm import tqdm

from ciae_ros.demo.own_report import TOPIC, PlayedImages, write_own_report
from ciae_ros.inference import DEFAULT_MODEL
from ciae_ros.replay.answers import Answer

READY = "ready"
"""Printed once the node's topics are heard."""

CONTACT_SHEET_FRAMES = 9
PICTURES_KEPT = 100
"""At most, of which the contact sheet's are chosen."""
CONTACT_SHEET_COLUMNS = 3
CONTACT_SHEET_WIDTH = 640
"""Of each picture on the sheet, in pixels."""

SETTLED = 3.0
"""Seconds without a new result, after the player has ended, that end the recording."""


class Recorder(Node):
    """Listens to the node's labels, segments and overlay and to /diagnostics until the player has ended."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._folder = Path(str(self.declare_parameter("output", "out/demo").value))
        self._rate: float = self.declare_parameter("video_rate", 25.0).value
        self._model_parameter = str(self.declare_parameter("model", DEFAULT_MODEL).value)
        total: int = self.declare_parameter("expected_frames", 0).value
        self._progress = tqdm(total=total or None, unit="frame", desc="segmented", disable=None, mininterval=0.5)
        self._latencies: list[float] = []
        self._arrivals: list[float] = []
        self._segments_per_frame: list[int] = []
        self._pictures: list[np.ndarray] = []
        self._overlays, self._keep_every = 0, 1
        self._video: _Video | None = None
        self._model = ""
        self._node_values: dict[str, str] = {}
        self._camera_values: dict[str, str] = {}
        self._player_values: dict[str, str] = {}
        self._played = PlayedImages()
        self._answers: defaultdict[int, Answer] = defaultdict(lambda: Answer(0.0))
        qos = QoSProfile(depth=10)
        self.create_subscription(Image, "/panoptic_node/labels", self._on_labels, qos)
        self.create_subscription(PanopticSegments, "/panoptic_node/segments", self._on_segments, qos)
        self.create_subscription(Image, "/panoptic_node/overlay", self._on_overlay, qos)
        self.create_subscription(Image, TOPIC, self._on_image, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def record(self) -> dict[str, object]:
        """Listen until everything that was played has been accounted for; write the files and return the summary."""
        while self.count_publishers("/panoptic_node/overlay") == 0:
            rclpy.spin_once(self, timeout_sec=0.1)
        print(READY, flush=True)
        while not self._has_settled():
            rclpy.spin_once(self, timeout_sec=0.2)
        self._progress.close()
        return self._write()

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _on_image(self, message: Image) -> None:
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        self._played.add(_nanoseconds(message.header), pixels)

    def _on_labels(self, message: Image) -> None:
        now = self._now()
        self._arrivals.append(now)
        self._latencies.append(now - 1e-9 * _nanoseconds(message.header))
        self._progress.update()
        labels = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
        self._answer(message.header).take_labels(labels)

    def _on_segments(self, message: PanopticSegments) -> None:
        self._answer(message.header).take_segments(message.segments)
        self._segments_per_frame.append(len(message.segments))
        self._model = message.model

    def _answer(self, header: Header) -> Answer:
        """What has come for an image, to which something more comes now."""
        stamp = _nanoseconds(header)
        answer = self._answers[stamp]
        answer.published, answer.arrived = 1e-9 * stamp, self._now()
        return answer

    def _on_overlay(self, message: Image) -> None:
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        self._keep_for_contact_sheet(pixels)
        if self._video is None:
            self._video = _Video(self._folder / "overlay.mp4", self._rate)
        self._video.show(pixels, 1e-9 * _nanoseconds(message.header))

    def _keep_for_contact_sheet(self, pixels: np.ndarray) -> None:
        """Every n-th, evenly spread over a clip of whatever length."""
        if self._overlays % self._keep_every == 0:
            self._pictures.append(_shrunk(pixels))
        self._overlays += 1
        if len(self._pictures) > PICTURES_KEPT:
            del self._pictures[1::2]
            self._keep_every *= 2

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if status.name == "/panoptic_node: node":
                self._node_values = values
            elif status.name == "/panoptic_node: camera image":
                self._camera_values = values
            elif status.name == "/image_player: images":
                self._player_values = values

    def _has_settled(self) -> bool:
        if not self._player_values or not self._camera_values:
            return False
        last = self._arrivals[-1] if self._arrivals else 0.0
        return self._now() - last > SETTLED and self._camera_values["unfinished"] == "0"

    def _write(self) -> dict[str, object]:
        if self._video is not None:
            self._video.close()
            cv2.imwrite(str(self._folder / "contact_sheet.png"), _contact_sheet(self._pictures))
        summary = self._summary()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        if self._played.jpegs:
            write_own_report(
                self._folder / "run",
                self._played,
                self._answers,
                self._model_parameter,
                self._node_values,
                self._dropped(),
            )
        return summary

    def _dropped(self) -> dict[str, int]:
        camera = self._camera_values
        return {key.removeprefix("dropped, "): int(camera[key]) for key in camera if key.startswith("dropped")}

    def _summary(self) -> dict[str, object]:
        node, camera, segments = self._node_values, self._camera_values, self._segments_per_frame
        percentiles = np.percentile(self._latencies, (50, 90, 99)).round(4).tolist() if self._latencies else [None] * 3
        duration = self._arrivals[-1] - self._arrivals[0] if len(self._arrivals) > 1 else 0.0
        return {
            "model": node.get("model", self._model),
            "device": node.get("device"),
            "frames": {
                "published": int(self._player_values["published"]),
                "received": int(camera["received"]),
                "segmented": int(camera["segmented"]),
                "dropped": self._dropped(),
                "recorded": len(self._arrivals),
            },
            "latency from stamp to recorded labels [s]": dict(zip(("p50", "p90", "p99"), percentiles, strict=True)),
            "frames per second": round((len(self._arrivals) - 1) / duration, 2) if duration else None,
            "median segments per frame": float(np.median(segments)) if segments else None,
            "median stage times [ms]": {
                key.split()[0]: float(camera[key].split()[0]) for key in camera if key.endswith("[ms]")
            },
        }


class _Video:
    """A video in which every picture stands until the next one's time, as on the robot."""

    def __init__(self, path: Path, rate: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._shown = np.empty(0)
        self._start = 0.0
        self._written = 0

    def show(self, pixels: np.ndarray, stamp: float) -> None:
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, pixels.shape[1::-1])
            self._start = stamp
        while self._written < round((stamp - self._start) * self._rate):
            self._write()
        self._shown = pixels

    def close(self) -> None:
        self._write()
        if self._writer is not None:
            self._writer.release()

    def _write(self) -> None:
        assert self._writer is not None
        self._writer.write(self._shown)
        self._written += 1


def _nanoseconds(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = CONTACT_SHEET_WIDTH, max(1, round(height * CONTACT_SHEET_WIDTH / width))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Some of the pictures, evenly spread, in a grid."""
    chosen = np.linspace(0, len(pictures) - 1, min(CONTACT_SHEET_FRAMES, len(pictures))).round().astype(int)
    height = max(pictures[i].shape[0] for i in chosen)
    cells = [np.pad(pictures[i], ((0, height - len(pictures[i])), (0, 0), (0, 0))) for i in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % CONTACT_SHEET_COLUMNS)
    rows = [np.hstack(cells[i : i + CONTACT_SHEET_COLUMNS]) for i in range(0, len(cells), CONTACT_SHEET_COLUMNS)]
    return np.vstack(rows)


def main() -> int:
    """Record until the player has ended."""
    rclpy.init()
    recorder = Recorder()
    try:
        recorder.record()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        recorder.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
