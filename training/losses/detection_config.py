# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Choices of the detector's targets and losses; the defaults are those of the paper, the others are from later work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Assignment = Literal["levels", "center", "atss"]
BoxLoss = Literal["iou", "giou"]
ClassLoss = Literal["focal", "quality_focal"]


@dataclass(frozen=True)
class DetectionLossConfig:
    """Targets and losses of the proposal head.

    Raises:
        ValueError: a value is invalid.
    """

    assignment: Assignment = "levels"
    """The locations inside an instance's mask that are positive. levels: all of the level of its size, as in FCOS and
    the paper; center: of these, those near the centre of its box (centre sampling of FCOS, as published in TPAMI);
    atss: on all levels, those whose anchors fit its box better than others near its centre (ATSS, CVPR 2020)."""
    center_radius: float = 1.5
    """Radius of "center" in strides."""
    atss_candidates: int = 9
    """Number of locations of each level nearest to the centre of a box that "atss" compares."""
    box_loss: BoxLoss = "iou"
    """iou: -log IoU, as in the paper; giou: 1 - GIoU (CVPR 2019)."""
    class_loss: ClassLoss = "focal"
    """focal: the focal loss, as in the paper; quality_focal: the quality focal loss, whose target is the IoU of the
    predicted box (GFL, NeurIPS 2020)."""

    ignore_void: bool = False
    """Whether locations without an annotation are neither positive nor negative, as those of crowds are; in the paper
    they are negative. For labels that are void where they are uncertain (`training.label`)."""

    def __post_init__(self) -> None:
        for name, choices in (("assignment", Assignment), ("box_loss", BoxLoss), ("class_loss", ClassLoss)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, not {getattr(self, name)!r}")
        if not self.center_radius > 0:
            raise ValueError(f"center_radius must be above 0, not {self.center_radius}")
        if self.atss_candidates < 2:
            raise ValueError(f"atss_candidates must be at least 2, not {self.atss_candidates}")


PAPER = DetectionLossConfig()
"""The choices of the paper."""
