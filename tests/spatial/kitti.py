# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of KITTI's tracking data: images, lidar scans, calibration and 3D boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform


@dataclass(frozen=True)
class KittiBox:
    """A box of the ground truth, in the coordinates of the left colour camera."""

    kind: str
    center: np.ndarray
    """(3,), in metres."""
    size: np.ndarray
    """(3,): length, height and width."""
    heading: float
    """About the camera's y axis, in radians."""
    image_box: np.ndarray
    """(4,): left, top, right and bottom in pixels."""

    def contains(self, points: np.ndarray, margin: float) -> np.ndarray:
        """Return which of the points (n, 3) are in the box, or within a margin in metres of it."""
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        x, y, z = (points - self.center).T
        along, across = cosine * x - sine * z, sine * x + cosine * z
        length, height, width = self.size / 2 + margin
        return (np.abs(along) < length) & (np.abs(y) < height) & (np.abs(across) < width)


@dataclass(frozen=True)
class KittiFrame:
    """A frame of sequence 0001."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR, rectified."""
    points: np.ndarray
    """(n, 3) float32 in the lidar's coordinates."""
    camera: CameraModel
    camera_from_lidar: RigidTransform
    boxes: list[KittiBox]


def read_kitti(folder: Path, number: int) -> KittiFrame:
    """Read a frame of sequence 0001 below the folder of KITTI's tracking data."""
    image = cv2.imread(str(folder / f"image_02/0001/{number:06d}.png"))
    assert image is not None
    scan = np.fromfile(folder / f"velodyne/0001/{number:06d}.bin", np.float32).reshape(-1, 4)
    lines = dict(
        line.split(maxsplit=1) for line in (folder / "calib/0001.txt").read_text().splitlines() if line.strip()
    )
    values = {name.rstrip(":"): np.array(text.split(), np.float64) for name, text in lines.items()}
    projection = values["P2"].reshape(3, 4)
    lidar = values["Tr_velo_cam"].reshape(3, 4)
    rectify = RigidTransform(values["R_rect"].reshape(3, 3), np.zeros(3))
    offset = RigidTransform(translation=np.linalg.solve(projection[:, :3], projection[:, 3]))
    camera_from_lidar = offset @ rectify @ RigidTransform(lidar[:, :3], lidar[:, 3])
    camera = CameraModel(*image.shape[:2], projection[:, :3], np.zeros(0))
    labels = [line.split() for line in (folder / "label_02/0001.txt").read_text().splitlines()]
    boxes = [_box(entry, offset) for entry in labels if int(entry[0]) == number and entry[2] != "DontCare"]
    return KittiFrame(image, scan[:, :3].copy(), camera, camera_from_lidar, boxes)


def _box(entry: list[str], offset: RigidTransform) -> KittiBox:
    height, width, length, x, y, z, heading = map(float, entry[10:17])
    center = offset.apply(np.array([x, y - height / 2, z]))
    image_box = np.array(entry[6:10], np.float64)
    return KittiBox(entry[2], center, np.array([length, height, width]), heading, image_box)
