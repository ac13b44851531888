# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch

from ciae_ros.model import CIAE


class WeightAverage:
    """A second model that follows the first one smoothly; the category memory, which is slow itself, is copied."""

    def __init__(self, model: CIAE, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: CIAE, iteration: int) -> None:
        """Take in the weights after an iteration (the first being 0); early ones count more, the average being short.

        `model` is the one that is trained.
        """
        weight = 1 - min(self._decay, (1 + iteration) / (10 + iteration))
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point() and not name.startswith("memory."):
                average.lerp_(current[name], weight)
            else:
                average.copy_(current[name])
