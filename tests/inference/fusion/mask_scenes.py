# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Outputs of networks that predict masks, drawn for tests, with COCO's categories."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference import InferenceSettings, coco_categories
from ciae_ros.inference.fusion.mask_merging import ClassCategories

CATEGORIES = coco_categories()
NUM_THINGS, NUM_STUFF = 80, 53
STUFF = range(NUM_THINGS, NUM_THINGS + NUM_STUFF)
"""Classes of stuff in the libraries' COCO models, where things come first."""
CLASS_CATEGORIES = ClassCategories(
    torch.tensor([*range(NUM_STUFF, NUM_STUFF + NUM_THINGS), *range(NUM_STUFF), -1]), NUM_STUFF
)
SETTINGS = InferenceSettings(score_threshold=0.8, mask_threshold=0.5, overlap_threshold=0.8, min_stuff_area=0)
PERSON, CAR, SKY, ROAD = 0, 2, 119, 100


def scene(seed: int, height: int, width: int, num_queries: int = 60) -> tuple[Tensor, Tensor]:
    """Return class and mask logits of queries that overlap, repeat stuff, are uncertain, or mean no object.

    The masks are cells around random points with soft, noisy borders; every fifth query repeats the one before it.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(num_queries, 2, generator=generator)
    points[4::5] = points[3::5]
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    distance = torch.cdist(points, torch.stack((y.flatten(), x.flatten()), dim=1))
    others = torch.stack([distance[(points != point).any(dim=1)].amin(dim=0) for point in points])
    noise = F.interpolate(torch.randn(1, num_queries, 8, 8, generator=generator), size=(height, width), mode="bicubic")
    masks = (60 * (others - distance)).clamp(-8, 8).view(-1, height, width) + noise[0]
    labels = torch.randint(0, NUM_THINGS + NUM_STUFF + 1, (num_queries,), generator=generator)
    labels[:6] = torch.tensor([SKY, SKY, ROAD, ROAD, CAR, CAR])
    classes = torch.randn(num_queries, NUM_THINGS + NUM_STUFF + 1, generator=generator)
    certainty = 6 + 5 * torch.rand(num_queries, generator=generator)
    classes[torch.arange(num_queries), labels] += certainty
    return classes, masks
