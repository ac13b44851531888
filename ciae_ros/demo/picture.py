# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One frame, its panoptic map, and the embedding that tells both category and instance, side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ciae_ros.inference import Predictor
from ciae_ros.visualization import draw_overlay, embedding_colors


def write_picture(path: Path, image: np.ndarray, predictor: Predictor) -> None:
    """Write a PNG file.

    Args:
        path: of the file.
        image: (H, W, 3) uint8 BGR.
        predictor: that segments it.
    """
    geometry = predictor.geometry(*image.shape[:2])
    embedding = embedding_colors(predictor.embed(image, "bgr"), geometry.resized)
    panels = (
        image,
        draw_overlay(image, predictor.predict(image, "bgr")),
        cv2.resize(embedding, image.shape[1::-1], interpolation=cv2.INTER_LINEAR),
    )
    cv2.imwrite(str(path), np.hstack(panels))
