# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch

from ciae_ros.model import CIAE


class WeightAverage:
    """A model with averaged weights; the category memory, which already changes slowly, is copied."""

    def __init__(self, model: CIAE, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: CIAE, iteration: int) -> None:
        """Update the average after an iteration.

        Args:
            model: the trained model.
            iteration: index of the iteration, from 0; the first ones have a larger weight.
        """
        weight = 1 - min(self._decay, (1 + iteration) / (10 + iteration))
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point() and not name.startswith("memory."):
                average.lerp_(current[name], weight)
            else:
                average.copy_(current[name])
