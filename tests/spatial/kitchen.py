# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of the kitchen of 7-Scenes: colour as JPEG, depth in millimetres, and poses of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform

NO_DEPTH = 65535
"""Value of pixels without a measurement."""


@dataclass(frozen=True)
class KitchenFrame:
    """A frame of the sequence."""

    number: int
    jpeg: bytes
    depth: np.ndarray
    """(480, 640) uint16 millimetres, 0 where nothing was measured."""
    world_from_camera: RigidTransform
    camera: CameraModel


def read_kitchen(folder: Path) -> list[KitchenFrame]:
    """Read all frames in their order."""
    camera = CameraModel(480, 640, np.loadtxt(folder / "camera-intrinsics.txt"), np.zeros(0))
    frames = []
    for path in sorted(folder.glob("*.color.jpg")):
        name = path.name.removesuffix(".color.jpg")
        depth = cv2.imread(str(folder / f"{name}.depth.png"), cv2.IMREAD_UNCHANGED)
        assert depth is not None
        pose = np.loadtxt(folder / f"{name}.pose.txt")
        depth = np.where(depth == NO_DEPTH, 0, depth).astype(np.uint16)
        transform = RigidTransform(pose[:3, :3], pose[:3, 3])
        frames.append(KitchenFrame(int(name.split("-")[1]), path.read_bytes(), depth, transform, camera))
    return frames
