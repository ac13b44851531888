# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Recording of the node's outputs as a video, a contact sheet, a summary and a report."""

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

from ciae_ros.core.diagnostics import CameraDiagnostics, NodeDiagnostics, PlayerDiagnostics
from ciae_ros.demo.own_report import TOPIC, PlayedImages, write_own_report
from ciae_ros.inference import DEFAULT_MODEL
from ciae_ros.replay.playback.node_responses import NodeResponse

READY = "ready"
"""Printed once the node's topics are subscribed to."""

CONTACT_SHEET_FRAMES = 9
PICTURES_KEPT = 100
"""Maximum number of overlays kept for the contact sheet."""
CONTACT_SHEET_COLUMNS = 3
CONTACT_SHEET_WIDTH = 640
"""Width of each picture on the sheet in pixels."""

QUIET_PERIOD = 3.0
"""Seconds without a new result after which recording ends, once the player has finished."""


class Recorder(Node):
    """Records the node's labels, segments, overlay and diagnostics until the player has finished."""

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
        self._node_diagnostics: NodeDiagnostics | None = None
        self._camera_diagnostics: CameraDiagnostics | None = None
        self._player_diagnostics: PlayerDiagnostics | None = None
        self._played = PlayedImages()
        self._responses: defaultdict[int, NodeResponse] = defaultdict(lambda: NodeResponse(0.0))
        qos = QoSProfile(depth=10)
        self.create_subscription(Image, "/panoptic_node/labels", self._on_labels, qos)
        self.create_subscription(PanopticSegments, "/panoptic_node/segments", self._on_segments, qos)
        self.create_subscription(Image, "/panoptic_node/overlay", self._on_overlay, qos)
        self.create_subscription(Image, TOPIC, self._on_image, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def record(self) -> dict[str, object]:
        """Record until every played image is accounted for; write the files and return the summary."""
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
        self._response(message.header).set_labels(labels)

    def _on_segments(self, message: PanopticSegments) -> None:
        self._response(message.header).set_segments(message.segments)
        self._segments_per_frame.append(len(message.segments))
        self._model = message.model

    def _response(self, header: Header) -> NodeResponse:
        """Return the response to an image and record the arrival of one of its messages."""
        stamp = _nanoseconds(header)
        response = self._responses[stamp]
        response.published, response.arrived = 1e-9 * stamp, self._now()
        return response

    def _on_overlay(self, message: Image) -> None:
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        self._keep_for_contact_sheet(pixels)
        if self._video is None:
            self._video = _Video(self._folder / "overlay.mp4", self._rate)
        self._video.show(pixels, 1e-9 * _nanoseconds(message.header))

    def _keep_for_contact_sheet(self, pixels: np.ndarray) -> None:
        """Keep every n-th overlay, evenly spaced over a clip of any length."""
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
                self._node_diagnostics = NodeDiagnostics.from_values(values)
            elif status.name == "/panoptic_node: camera image":
                self._camera_diagnostics = CameraDiagnostics.from_values(values)
            elif status.name == "/image_player: images":
                self._player_diagnostics = PlayerDiagnostics.from_values(values)

    def _has_settled(self) -> bool:
        if self._player_diagnostics is None or self._camera_diagnostics is None:
            return False
        last = self._arrivals[-1] if self._arrivals else 0.0
        return self._now() - last > QUIET_PERIOD and self._camera_diagnostics.unfinished == 0

    def _write(self) -> dict[str, object]:
        if self._video is not None:
            self._video.close()
            cv2.imwrite(str(self._folder / "contact_sheet.png"), _contact_sheet(self._pictures))
        assert self._player_diagnostics is not None and self._camera_diagnostics is not None
        summary = self._summary(self._player_diagnostics, self._camera_diagnostics)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        if self._played.jpegs:
            write_own_report(
                self._folder / "run",
                self._played,
                self._responses,
                self._model_parameter,
                self._node_diagnostics or NodeDiagnostics("unknown"),
                self._camera_diagnostics.dropped,
            )
        return summary

    def _summary(self, player: PlayerDiagnostics, camera: CameraDiagnostics) -> dict[str, object]:
        node, segments = self._node_diagnostics, self._segments_per_frame
        percentiles = np.percentile(self._latencies, (50, 90, 99)).round(4).tolist() if self._latencies else [None] * 3
        duration = self._arrivals[-1] - self._arrivals[0] if len(self._arrivals) > 1 else 0.0
        return {
            "model": node.model if node else self._model,
            "device": node.device if node else None,
            "frames": {
                "published": player.published,
                "received": camera.received,
                "segmented": camera.segmented,
                "dropped": dict(camera.dropped),
                "recorded": len(self._arrivals),
            },
            "latency from stamp to recorded labels [s]": dict(zip(("p50", "p90", "p99"), percentiles, strict=True)),
            "frames per second": round((len(self._arrivals) - 1) / duration, 2) if duration else None,
            "median segments per frame": float(np.median(segments)) if segments else None,
            "median stage times [ms]": {stage: round(1e3 * times.p50, 2) for stage, times in camera.stages.items()},
        }


class _Video:
    """A video in which every picture is shown until the time of the next one, as on the robot."""

    def __init__(self, path: Path, rate: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._shown = np.empty(0)
        self._start = 0.0
        self._written = 0
        self._size = (0, 0)

    def show(self, pixels: np.ndarray, stamp: float) -> None:
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._size = pixels.shape[0], pixels.shape[1]
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, self._size[::-1])
            self._start = stamp
        while self._written < round((stamp - self._start) * self._rate):
            self._write()
        self._shown = _fitted(pixels, self._size)

    def close(self) -> None:
        self._write()
        if self._writer is not None:
            self._writer.release()

    def _write(self) -> None:
        assert self._writer is not None
        self._writer.write(self._shown)
        self._written += 1


def _fitted(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture to fit into a height and width, and add black borders; a video has pictures of one size."""
    if pixels.shape[:2] == size:
        return pixels
    scale = min(size[0] / pixels.shape[0], size[1] / pixels.shape[1])
    height, width = (max(1, round(scale * side)) for side in pixels.shape[:2])
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def _nanoseconds(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = CONTACT_SHEET_WIDTH, max(1, round(height * CONTACT_SHEET_WIDTH / width))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Arrange evenly spaced pictures in a grid."""
    chosen = np.linspace(0, len(pictures) - 1, min(CONTACT_SHEET_FRAMES, len(pictures))).round().astype(int)
    height = max(pictures[i].shape[0] for i in chosen)
    cells = [np.pad(pictures[i], ((0, height - len(pictures[i])), (0, 0), (0, 0))) for i in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % CONTACT_SHEET_COLUMNS)
    rows = [np.hstack(cells[i : i + CONTACT_SHEET_COLUMNS]) for i in range(0, len(cells), CONTACT_SHEET_COLUMNS)]
    return np.vstack(rows)


def main() -> int:
    """Record until the player has finished."""
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
