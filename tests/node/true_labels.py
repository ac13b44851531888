# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A predictor that returns given labels, for what the node does with the results of a perfect network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ciae_ros.inference import Predictor
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics, segment_statistics
from ciae_ros.node.model_loading import load_predictor
from ciae_ros.node.parameters.definitions import NodeParameters

NAMES = {"road": "road", "building": "building-other-merged", "sky": "sky-other-merged"}
"""COCO's names of the rendered categories, where they differ."""


class TrueLabels:
    """Loads a real predictor, whose segments are replaced by those of `show`; all else of the pipeline runs."""

    def __init__(self) -> None:
        self.show(np.ones((60, 80), np.uint16), ["road"])

    def show(self, labels: np.ndarray, categories: list[str]) -> None:
        """Set the result of the next images.

        Args:
            labels: (H, W) uint16 ids of segments; the size of the images.
            categories: names of the categories of the segments, by id from 1.
        """
        self._labels, self._categories = labels, categories

    def load(self, parameters: NodeParameters) -> Predictor:
        """Load the predictor that the parameters specify."""
        predictor = load_predictor(parameters)
        by_name = {category.name: index for index, category in enumerate(predictor.categories.categories)}
        segment = predictor.backend.segment

        def replaced(*arguments: Any) -> list[FusedImage]:
            # During the warm-up, images have another size.
            results = segment(*arguments)
            return [self._fused(by_name) if one.label_map.shape == self._labels.shape else one for one in results]

        predictor.backend.segment = replaced  # type: ignore[method-assign]
        return predictor

    def _fused(self, by_name: dict[str, int]) -> FusedImage:
        labels = torch.from_numpy(self._labels.astype(np.int16))
        count = len(self._categories)
        statistics = segment_statistics(labels, count + 1)
        return FusedImage(
            label_map=labels,
            segment_id=torch.arange(1, count + 1),
            category=torch.tensor([by_name[NAMES.get(name, name)] for name in self._categories]),
            score=torch.full((count,), 0.9),
            statistics=SegmentStatistics(*(field[1:] for field in statistics)),
            queries=torch.empty(count, 0),
            confidence=torch.empty(0, 0, dtype=torch.uint8),
        )
