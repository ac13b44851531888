"""Pictures of panoptic results."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.inference.result import PanopticResult, Segment


@dataclass(frozen=True)
class OverlayStyle:
    """How segments are drawn over their image."""

    opacity: float = 0.5
    """Of the segments' colours, 0 to 1."""
    outlines: bool = True
    names: bool = True


def draw_overlay(
    image: np.ndarray, result: PanopticResult, style: OverlayStyle | None = None, note: str = ""
) -> np.ndarray:
    """Colour the segments, outline them and write their names.

    Args:
        image: (H, W, 3) uint8 BGR, of the result's size; is not changed.
        result: of the image.
        style: the default one if None.
        note: a line of text for the lower left corner.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    style = style or OverlayStyle()
    palette = np.zeros((len(result.segments) + 1, 3), np.uint8)
    for segment in result.segments:
        palette[segment.id] = segment_color(segment)
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


def segment_color(segment: Segment) -> tuple[int, int, int]:
    """B, G, R: the category's colour, for things varied with the id so that neighbours of a kind can be told apart."""
    red, green, blue = segment.category.color
    shift = (segment.id * 47 % 64) - 32 if segment.category.is_thing else 0
    return min(max(blue + shift, 0), 255), min(max(green - shift, 0), 255), min(max(red + shift, 0), 255)


def _boundaries(label_map: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right or lower neighbour is of another segment."""
    different = np.zeros(label_map.shape, bool)
    different[:, :-1] = label_map[:, 1:] != label_map[:, :-1]
    different[:-1] |= label_map[1:] != label_map[:-1]
    return different


def _write_name(image: np.ndarray, segment: Segment) -> None:
    name = segment.category.name
    if segment.category.is_thing:
        name += f" {segment.score:.2f}"
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    if segment.area < 2 * width * height:
        return
    x = int(np.clip(segment.centroid[0] - width / 2, 0, max(0, image.shape[1] - width)))
    y = int(np.clip(segment.centroid[1] + height / 2, height, image.shape[0] - 1))
    _write(image, name, (x, y), scale=0.45)


def _write(image: np.ndarray, text: str, position: tuple[int, int], scale: float) -> None:
    """White on a dark edge, legible on any colour."""
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
