# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Small recordings, and teachers without a network, for tests of labelling."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.replay.bags.bag_writing import write_bag

ROAD, SKY, CAR = (
    Category(1, "road", False, (128, 64, 128)),
    Category(2, "sky", False, (70, 130, 180)),
    Category(3, "car", True, (0, 0, 142)),
)
SIZE = 96, 128
"""Height and width."""
CAR_SIZE = 24, 30
TEACHER = """
import sys
sys.path.insert(0, {root!r})
from tests.training.labeling.recordings import ColorTeacher

def make_teacher(device, **options):
    return ColorTeacher(**options)
"""
"""A Python file as users write it."""


def picture(number: int, change: int = 8) -> np.ndarray:
    """Return a blue sky above a grey road with a red car, which moves by `change` pixels from frame to frame."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[: SIZE[0] // 2] = (220, 150, 60)
    left = 4 + change * number
    image[50 : 50 + CAR_SIZE[0], left : left + CAR_SIZE[1]] = (30, 30, 200)
    # Texture, for the optical flow.
    noise = np.random.default_rng(0).integers(0, 24, (*SIZE, 3), np.uint8)
    noise[50 : 50 + CAR_SIZE[0], left : left + CAR_SIZE[1]] = np.random.default_rng(1).integers(
        0, 24, (*CAR_SIZE, 3), np.uint8
    )
    return image + noise


class ColorTeacher:
    """Labels the pictures of this module by their colours."""

    def __init__(self, kind: str = "right", score: str = "0.9") -> None:
        """Create a teacher.

        Args:
            kind: right; blind: finds no car; semantic: does not tell cars apart; things: knows cars only; small: labels
                the upper half only.
            score: score of the cars.
        """
        self.name, self.digest = f"colors ({kind})", f"{kind} {score}"
        self._kind, self._score = kind, float(score)
        region = Category(CAR.id, CAR.name, False, CAR.color)
        self.categories = {
            "semantic": (ROAD, SKY, region),
            "things": (CAR,),
        }.get(kind, (ROAD, SKY, CAR))
        self.num_images = 0

    def label(self, images: list[np.ndarray]) -> list[PanopticResult]:
        """Label images by colour."""
        self.num_images += len(images)
        return [self._label(image) for image in images]

    def _label(self, image: np.ndarray) -> PanopticResult:
        if self._kind == "small":
            image = image[: SIZE[0] // 2]
        blue, red = image[..., 0].astype(int), image[..., 2].astype(int)
        ids = np.full(image.shape[:2], 1)
        ids[blue > 180] = 2
        if self._kind != "blind":
            ids[red > blue + 60] = 3
        known = {category.id: category for category in self.categories}
        segments = {one: (known[one], self._score if one == CAR.id else 1.0) for one in (1, 2, 3) if one in known}
        return panoptic_result(ids, segments)


def write_teacher(folder: Path) -> Path:
    """Write the Python file of a `ColorTeacher`."""
    path = folder / "teacher.py"
    path.write_text(TEACHER.format(root=str(Path(__file__).parents[3])))
    return path


def write_drive(path: Path, frames: int = 8, period: float = 0.1, change: int = 8) -> Path:
    """Write a bag of pictures with stamps from 1000 s."""
    messages = [
        ("/camera/image_raw", 10**12 + round(number * period * 1e9), picture(number, change))
        for number in range(frames)
    ]
    write_bag(path, messages)
    return path


def write_folder(path: Path, frames: int = 4) -> Path:
    """Write a folder of pictures."""
    path.mkdir()
    for number in range(frames):
        cv2.imwrite(str(path / f"{number:03d}.png"), picture(number))
    return path


def write_video(path: Path, frames: int = 8) -> Path:
    """Write a video of pictures at 10 images/s."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, SIZE[::-1])
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path
