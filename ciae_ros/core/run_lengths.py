# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lossless run-length encoding of label maps."""

from __future__ import annotations

import numpy as np


def encode_runs(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode a label map as ids and lengths of its runs in row-major order; runs continue across the ends of rows.

    Args:
        label_map: (H, W) of any integer type, at least one pixel.

    Returns:
        (R,) ids of the map's type, and (R,) uint32 lengths in pixels.
    """
    flat = label_map.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    return flat[ends], np.diff(ends, prepend=-1).astype(np.uint32)


def decode_runs(ids: np.ndarray, lengths: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Decode runs into a label map (H, W) of the ids' type."""
    return np.repeat(ids, lengths).reshape(shape)
