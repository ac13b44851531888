# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Compilation of the tracker, which would otherwise delay the first frame with a thing by up to a second."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.tracking.tracker import Tracker


def warm_up() -> None:
    """Track a thing through two frames."""
    ids = np.zeros((48, 64), np.uint16)
    ids[10:30, 10:40] = 1
    result = panoptic_result(ids, {1: (Category(1, "thing", True, (0, 0, 0)), 1.0)})
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    tracker = Tracker()
    for stamp in (0.0, 0.1):
        tracker.update(result, stamp, image)
