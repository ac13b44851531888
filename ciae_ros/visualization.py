# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Visualisation of panoptic results."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.core.segment_display import segment_color, thing_name
from ciae_ros.inference.geometry import EMBEDDING_STRIDE


@dataclass(frozen=True)
class OverlayStyle:
    """Style of segments drawn over an image."""

    opacity: float = 0.5
    """Opacity of the segments' colours, 0 to 1."""
    outlines: bool = True
    names: bool = True


def draw_overlay(
    image: np.ndarray, result: PanopticResult, style: OverlayStyle | None = None, note: str = ""
) -> np.ndarray:
    """Colour the segments, outline them and write their names.

    Args:
        image: image (H, W, 3) uint8 BGR of the result's size; not modified.
        result: result of the image.
        style: style; None for the default.
        note: a line of text for the lower left corner.

    Returns:
        The overlay (H, W, 3) uint8 BGR.
    """
    style = style or OverlayStyle()
    palette = np.zeros((len(result.segments) + 1, 3), np.uint8)
    for segment in result.segments:
        palette[segment.id] = segment_color(segment.track_id or segment.id, segment.category)
    blended = cv2.addWeighted(palette[result.label_map], style.opacity, image, 1 - style.opacity, 0)
    unlabelled = result.label_map == 0
    blended[unlabelled] = image[unlabelled]
    if style.outlines:
        blended[_boundaries(result.label_map)] = 255
    if style.names:
        for segment in result.segments:
            _write_name(blended, segment)
    if note:
        _write(blended, note, (8, blended.shape[0] - 10), scale=0.6)
    return blended


def draw_proposals(image: np.ndarray, boxes: np.ndarray, locations: np.ndarray) -> np.ndarray:
    """Draw the boxes of instance proposals and their locations (first row of Fig. 5).

    Args:
        image: image (H, W, 3) uint8; not modified.
        boxes: boxes (K, 4) as x1, y1, x2, y2 in pixels.
        locations: locations (K, 2) as x, y in pixels.

    Returns:
        The drawing (H, W, 3) uint8.
    """
    drawn = image.copy()
    for index, (box, location) in enumerate(zip(boxes, locations, strict=True)):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        color = tuple(64 + (index * step) % 192 for step in (71, 113, 167))
        cv2.rectangle(drawn, (x1, y1), (x2 - 1, y2 - 1), color, 2)
        cv2.circle(drawn, (int(location[0]), int(location[1])), 4, color, cv2.FILLED)
    return drawn


def embedding_colors(embedding: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Visualise an embedding map by its three principal components (Fig. 4c, second row of Fig. 5).

    Args:
        embedding: embedding (D, h, w) float32 at stride 4, with D >= 3; it is normalised.
        size: height and width of the image without padding.

    Returns:
        Colours (height, width, 3) uint8; only their similarity is meaningful.
    """
    height, width = (math.ceil(length / EMBEDDING_STRIDE) for length in size)
    pixels = embedding[:, :height, :width].reshape(len(embedding), -1).T
    pixels = pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-12)
    centered = pixels - pixels.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    components = centered @ directions[:, :-4:-1]
    low, high = np.percentile(components, (1, 99), axis=0)
    scaled = np.clip((components - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    return cv2.resize(scaled.astype(np.uint8).reshape(height, width, 3), size[::-1], interpolation=cv2.INTER_LINEAR)


def _boundaries(label_map: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) of the pixels whose right or lower neighbour has another segment."""
    different = np.zeros(label_map.shape, bool)
    different[:, :-1] = label_map[:, 1:] != label_map[:, :-1]
    different[:-1] |= label_map[1:] != label_map[:-1]
    return different


def _write_name(image: np.ndarray, segment: Segment) -> None:
    name = segment.category.name
    if segment.category.is_thing:
        name = thing_name(name, segment.track_id, segment.score)
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    if segment.area < 2 * width * height:
        return
    x = int(np.clip(segment.centroid[0] - width / 2, 0, max(0, image.shape[1] - width)))
    y = int(np.clip(segment.centroid[1] + height / 2, height, image.shape[0] - 1))
    _write(image, name, (x, y), scale=0.45)


def _write(image: np.ndarray, text: str, position: tuple[int, int], scale: float) -> None:
    """Write white text with a dark outline, legible on any colour."""
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
