# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Inference settings that do not require another model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

FRACTIONS = {
    "score_threshold": "minimum score of instances, or of all segments of a network that predicts masks",
    "nms_threshold": "IoU above which the lower-scoring of two instances is suppressed (CIAE)",
    "duplicate_similarity": "cosine similarity of the embedding above which the lower-scoring of two overlapping "
    "instances is a duplicate; 1: never, as in the paper (CIAE)",
    "duplicate_iou": "IoU above which instances with a similar embedding are duplicates (CIAE)",
    "mask_threshold": "minimum probability of a pixel in the mask of its segment (networks that predict masks)",
    "overlap_threshold": "minimum share of a mask that other masks leave to its segment (networks that predict masks)",
}
"""Settings from 0 to 1, with a description."""

THRESHOLDS = {**FRACTIONS, "min_stuff_area": "minimum area of stuff segments in pixels of the image"}
"""Settings that commands and the node let users override, with a description."""


@dataclass(frozen=True)
class InferenceSettings:
    """Thresholds of Sec. IV-C; those that the paper does not state are FCOS's, or, of duplicates, chosen on CamVid.

    Networks that predict masks use `score_threshold`, `max_instances`, `mask_threshold`, `overlap_threshold` and
    `min_stuff_area`, and CIAE all but the two for masks.

    Raises:
        ValueError: a value is out of range.
    """

    score_threshold: float = 0.4
    """Instances with a lower score (geometric mean of class probability and centre-ness) are dropped, 0 to 1; of a
    network that predicts masks, queries with a lower class probability."""
    nms_threshold: float = 0.6
    """IoU above which the lower-scoring of two boxes of a class is suppressed, 0 to 1."""
    duplicate_similarity: float = 0.9
    """Cosine similarity of their queries above which the lower-scoring of two instances is dropped as a duplicate if
    their boxes overlap, 0 to 1. 1: never, as in the paper."""
    duplicate_iou: float = 0.3
    """IoU of boxes above which instances with similar queries are duplicates, 0 to 1."""
    max_proposals_per_level: int = 1000
    """Highest-scoring candidates of a pyramid level that enter non-maximum suppression."""
    max_instances: int = 100
    """Maximum number of instances that are kept after it."""
    mask_threshold: float = 0.5
    """Pixels with a lower probability in the mask that wins them become unlabelled, 0 to 1."""
    overlap_threshold: float = 0.8
    """Masks that keep at most this share of their pixels after overlaps with others are dropped, 0 to 1."""
    min_stuff_area: int = 4096
    """Stuff segments of fewer pixels of the original image become unlabelled."""
    confidence_slope: float = 9.84
    """The probability that the category of a pixel is right is a logistic function of the margin of its similarities
    (`fusion.confidence`), slope times margin plus offset. `training.calibrate` fits it; the default is that of the
    shipped model on held-out street scenes."""
    confidence_offset: float = -0.68

    def __post_init__(self) -> None:
        for name in FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, not {getattr(self, name)}")
        for name in ("max_proposals_per_level", "max_instances"):
            if not 1 <= getattr(self, name) <= 10000:
                raise ValueError(f"{name} must be in 1..10000, not {getattr(self, name)}")
        for name in ("confidence_slope", "confidence_offset"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, not {getattr(self, name)}")
        if self.min_stuff_area < 0:
            raise ValueError(f"min_stuff_area must not be negative, not {self.min_stuff_area}")

    def override(self, **values: Any) -> InferenceSettings:
        """Return a copy with the values that are not None.

        Raises:
            ValueError: a value is out of range.
        """
        return replace(self, **{name: value for name, value in values.items() if value is not None})


class DeviceSettings:
    """`InferenceSettings` with the thresholds on a CUDA device.

    A captured graph reads the thresholds at every replay; the counts are constants of the graph.
    """

    def __init__(self, settings: InferenceSettings, device: torch.device) -> None:
        self.max_proposals_per_level = settings.max_proposals_per_level
        self.max_instances = settings.max_instances
        # No user changes them while the model runs.
        self.confidence_slope, self.confidence_offset = settings.confidence_slope, settings.confidence_offset
        # Tensors created in inference mode could not be changed outside of it.
        with torch.inference_mode(mode=False):
            self.score_threshold = torch.tensor(settings.score_threshold, dtype=torch.float32, device=device)
            """() float32, as are the other thresholds."""
            self.nms_threshold = torch.tensor(settings.nms_threshold, dtype=torch.float32, device=device)
            self.duplicate_similarity = torch.tensor(settings.duplicate_similarity, dtype=torch.float32, device=device)
            self.duplicate_iou = torch.tensor(settings.duplicate_iou, dtype=torch.float32, device=device)
            self.mask_threshold = torch.tensor(settings.mask_threshold, dtype=torch.float32, device=device)
            self.overlap_threshold = torch.tensor(settings.overlap_threshold, dtype=torch.float32, device=device)
            self.min_stuff_area = torch.tensor(float(settings.min_stuff_area), dtype=torch.float32, device=device)
        self._settings = settings

    def update(self, settings: InferenceSettings) -> None:
        """Change the thresholds for work that is launched on the current stream from now on."""
        if settings != self._settings:
            self._settings = settings
            for name in THRESHOLDS:
                getattr(self, name).fill_(float(getattr(settings, name)))
