# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Initial directions of the category memory that are far apart, instead of random ones (M_0 of Sec. III-C)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 300
STEP_SIZE = 0.3
SHARPNESS = (2.0, 100.0)
"""Weight of the most similar vectors relative to the others, at the first and at the last step."""


@torch.no_grad()
def spread_directions(count: int, dimensions: int) -> Tensor:
    """Return unit vectors (count, dimensions) of which the two most similar ones are almost as far apart as possible.

    Random vectors repel each other, at first all of them, in the end only the closest ones. The largest cosine of 54
    vectors in 32 dimensions becomes about 0.006, where 0 is the optimum; among random ones it is about 0.55.
    """
    vectors = F.normalize(torch.randn(count, dimensions), dim=1)
    if count < 2:
        return vectors
    first, last = SHARPNESS
    for step in range(STEPS):
        progress = step / STEPS
        similarities = (vectors @ vectors.T).fill_diagonal_(-torch.inf)
        repulsion = torch.softmax((first + (last - first) * progress) * similarities, dim=1) @ vectors
        vectors = F.normalize(vectors - STEP_SIZE * (1 - progress) * repulsion, dim=1)
    return vectors
