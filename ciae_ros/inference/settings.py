# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What may be chosen about inference without another model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InferenceSettings:
    """Thresholds of Sec. IV-C; where the paper is silent, FCOS's.

    Raises:
        ValueError: a value is out of range.
    """

    score_threshold: float = 0.4
    """Instances with a lower score (geometric mean of class probability and centre-ness) are left out, 0 to 1."""
    nms_threshold: float = 0.6
    """Of two boxes of a class with a higher IoU, the one with the lower score is left out, 0 to 1."""
    max_proposals_per_level: int = 1000
    """Highest scores of a pyramid level that enter the non-maximum suppression."""
    max_instances: int = 100
    """Highest scores that are left after it."""
    min_stuff_area: int = 4096
    """Stuff segments of fewer pixels of the original image become unlabelled."""

    def __post_init__(self) -> None:
        for name in ("score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, not {getattr(self, name)}")
        for name in ("max_proposals_per_level", "max_instances"):
            if not 1 <= getattr(self, name) <= 10000:
                raise ValueError(f"{name} must be in 1..10000, not {getattr(self, name)}")
        if self.min_stuff_area < 0:
            raise ValueError(f"min_stuff_area must not be negative, not {self.min_stuff_area}")
