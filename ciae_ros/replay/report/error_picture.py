"""Where the class of a frame's pixels is wrong, as the report's legend explains it."""

from __future__ import annotations

import numpy as np

RIGHT, WRONG, VOID = (44, 123, 182), (253, 174, 97), (0, 0, 0)
"""R, G, B: blue and orange, which nearly everyone can tell apart."""


def error_picture(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Colour the pixels by whether their class is right.

    Args:
        predicted: (H, W) category ids; 0 is unlabelled, which is wrong.
        true: (H, W) category ids; 0 is void, which is not scored.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    colors = np.array([VOID, WRONG, RIGHT], np.uint8)[:, ::-1]
    return colors[np.where(true == 0, 0, np.where(predicted == true, 2, 1))]
