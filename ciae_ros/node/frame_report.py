# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Saving of a frame with its result, for bug reports."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ciae_ros.inference import Predictor
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.errors import describe_error
from ciae_ros.node.publishing.result_publisher import SegmentedFrame, render_overlay
from ciae_ros.visualization import OverlayStyle


class SaveError(Exception):
    """A frame could not be saved; the message says why."""


def save_last_frames(
    parent: str, streams: Mapping[str, CameraStream], predictor: Predictor | None, parameters: Mapping[str, object]
) -> Path:
    """Write the last segmented frame of each camera to a new folder, named by the time.

    Args:
        parent: folder in which the new one is created; ~ is the home folder.
        streams: streams by the names of their cameras.
        predictor: predictor of the node.
        parameters: values of the node's parameters.

    Raises:
        SaveError: there is no frame, a file or folder cannot be written, or a frame cannot be represented.
    """
    frames = {name: (stream.last[0].message, stream.last[1]) for name, stream in streams.items() if stream.last}
    if not frames or predictor is None:
        raise SaveError("no frame has been segmented since the node was activated")
    metadata = {
        "model": predictor.name,
        "model digest": predictor.digest,
        "device": predictor.device_name,
        "parameters": parameters,
    }
    return save_frames(parent, frames, metadata)


def save_frames(
    parent: str,
    frames: Mapping[str, tuple[Image | CompressedImage, SegmentedFrame]],
    metadata: Mapping[str, object],
) -> Path:
    """Write frames to a new folder, named by the time, with a folder for each camera.

    Args:
        parent: folder in which the new one is created; ~ is the home folder.
        frames: received message and segmented frame by the name of the camera.
        metadata: entries for the reports.

    Raises:
        SaveError: a file or folder cannot be written, or a frame cannot be represented.
    """
    path = _expanded(parent)
    try:
        folder = _new_folder(path)
        for camera, (message, frame) in frames.items():
            _save_frame(folder, camera, message, frame, metadata)
    except OSError as error:
        raise SaveError(f"cannot write below save_folder: {error}; set it to a folder that can be written") from None
    except Exception as error:  # A failed report must not end the node.
        raise SaveError(f"the frame cannot be saved: {describe_error(error)}") from error
    return folder


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SaveError(f"save_folder is {path}, but the user has no home folder: set it to another one") from None


def _new_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    time = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = parent / time
    # Fails if the path exists, so it cannot be a link that was placed there.
    folder.mkdir()
    return folder


def _save_frame(
    folder: Path, camera: str, message: Image | CompressedImage, frame: SegmentedFrame, metadata: Mapping[str, object]
) -> None:
    """Write a camera's message, image, labels, overlay, and a JSON report.

    Args:
        folder: existing folder that is empty or contains frames of other cameras.
        camera: name of the camera, from which the name of its folder is made.
        message: the received message; `message.cdr` contains it in serialised form, as in DDS and bags.
        frame: the segmented frame.
        metadata: entries for the report.

    Raises:
        OSError: a file cannot be written.
    """
    # ROS names contain no hyphens, so front/left and front_left stay distinct.
    target = folder / re.sub(r"[^\w-]", "_", camera.replace("/", "-"))
    target.mkdir()
    _write_image(target / "image.png", frame.image.to_bgr())
    _write_image(target / "labels.png", frame.result.label_map)
    _write_image(target / "overlay.png", render_overlay(frame, OverlayStyle()))
    (target / "message.cdr").write_bytes(serialize_message(message))
    (target / "report.json").write_text(json.dumps(_report(message, frame, metadata), indent=2) + "\n")


def _report(
    message: Image | CompressedImage, frame: SegmentedFrame, metadata: Mapping[str, object]
) -> dict[str, object]:
    kinds = ("height", "width", "encoding", "step", "is_bigendian", "format")
    return dict(metadata) | {
        "header": {
            "sec": frame.header.stamp.sec,
            "nanosec": frame.header.stamp.nanosec,
            "frame_id": frame.header.frame_id,
        },
        "message": {kind: getattr(message, kind) for kind in kinds if hasattr(message, kind)}
        | {"type": type(message).__name__, "bytes": len(message.data)},
        "segments": [asdict(replace(segment, query=None)) for segment in frame.result.segments],
        "versions": {name: version(name) for name in ("torch", "torchvision", "numpy")}
        | {"python": platform.python_version()},
    }


def _write_image(path: Path, pixels: np.ndarray) -> None:
    _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(data.tobytes())
