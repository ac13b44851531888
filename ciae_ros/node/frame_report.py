# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A frame with its result in a folder, for bug reports."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ciae_ros.node.result_publisher import SegmentedFrame, overlay_of
from ciae_ros.visualization import OverlayStyle


def new_folder(parent: Path) -> Path:
    """A new folder below `parent`, named by the time.

    Raises:
        OSError: it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    time = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = parent / time
    # Made here and now, so nobody can have put a link in its place.
    folder.mkdir()
    return folder


def save_frame(
    folder: Path, camera: str, message: Image | CompressedImage, frame: SegmentedFrame, about: dict[str, object]
) -> None:
    """Write a camera's message, image, labels, overlay, and a report in JSON.

    Args:
        folder: exists and is empty, or holds other cameras' frames.
        camera: its name, which becomes the name of a folder.
        message: as it was received; `message.cdr` holds it in the form in which DDS and bags carry it.
        frame: its result.
        about: goes into the report.

    Raises:
        OSError: something cannot be written.
    """
    # ROS names have no hyphen: front/left and front_left stay apart.
    target = folder / re.sub(r"[^\w-]", "_", camera.replace("/", "-"))
    target.mkdir()
    _write_image(target / "image.png", frame.image.to_bgr())
    _write_image(target / "labels.png", frame.result.label_map)
    _write_image(target / "overlay.png", overlay_of(frame, OverlayStyle()))
    (target / "message.cdr").write_bytes(serialize_message(message))
    (target / "report.json").write_text(json.dumps(_report(message, frame, about), indent=2) + "\n")


def _report(message: Image | CompressedImage, frame: SegmentedFrame, about: dict[str, object]) -> dict[str, object]:
    kinds = ("height", "width", "encoding", "step", "is_bigendian", "format")
    return about | {
        "header": {
            "sec": frame.header.stamp.sec,
            "nanosec": frame.header.stamp.nanosec,
            "frame_id": frame.header.frame_id,
        },
        "message": {kind: getattr(message, kind) for kind in kinds if hasattr(message, kind)}
        | {"type": type(message).__name__, "bytes": len(message.data)},
        "segments": [asdict(segment) for segment in frame.result.segments],
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", "numpy")}
        | {"python": platform.python_version()},
    }


def _write_image(path: Path, pixels: np.ndarray) -> None:
    _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(data.tobytes())
