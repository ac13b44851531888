# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The errors of a depth camera and of a network's masks, added to exact ones."""

from __future__ import annotations

import cv2
import numpy as np

MAX_DEPTH = 30.0
"""Depth in metres up to which the sensor measures."""


def measured_depth(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the depth image of a stereo camera in millimetres, (H, W) uint16, 0 where it measures nothing.

    Its noise grows with the square of the distance (5 mm at 2 m, 12 cm at 10 m), it mixes surfaces at their edges, and
    it loses some pixels.

    Args:
        depth: (H, W) exact depth in metres.
        rng: source of the errors.
    """
    # Edges are mixed: half of the pixels next to an edge get a value between the two surfaces.
    mixed = cv2.blur(depth, (3, 3))
    near_edge = np.abs(cv2.dilate(depth, np.ones((3, 3))) - cv2.erode(depth, np.ones((3, 3)))) > 0.1 * depth
    values = np.where(near_edge & (rng.random(depth.shape) < 0.5), mixed, depth)
    values = values + rng.normal(0, 0.0012 * values**2)
    lost = (rng.random(depth.shape) < 0.03) | (values > MAX_DEPTH) | (values < 0.1) | (depth > MAX_DEPTH)
    return np.where(lost, 0, np.round(1000 * values)).astype(np.uint16)


def enlarged(objects: np.ndarray, depth: np.ndarray, pixels: int) -> np.ndarray:
    """Return masks that are too large by some pixels; nearer objects keep their pixels.

    Args:
        objects: (H, W) numbers of objects from 1; 0 elsewhere.
        depth: (H, W) exact depth.
        pixels: by which each mask is dilated.
    """
    ids = [one for one in np.unique(objects) if one]
    by_distance = sorted(ids, key=lambda one: -float(np.median(depth[objects == one])))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    result = np.zeros_like(objects)
    for one in by_distance:
        result[cv2.dilate((objects == one).astype(np.uint8), disk) > 0] = one
    return result
