# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What fusion is given: smooth random embeddings, or those of the shipped model on a real image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference import (
    DEFAULT_MODEL,
    CategorySet,
    PanopticResult,
    Predictor,
    coco_categories,
    load_model,
)
from ciae_ros.inference.fusion.assignment import assign_pixels, assign_pixels_reference
from ciae_ros.inference.fusion.fusion import FusedImage, Instances, fuse_instances
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.inference.proposals.selection import embedding_at, select_proposals
from ciae_ros.inference.settings import InferenceSettings

NUM_STUFF, DIMENSIONS = 53, 32
"""COCO's, and the paper's."""
INPUT_SIZE, MAX_INPUT_SIZE = 800, 1333
GRAIN = 8
"""Samples of the embedding map from one independent random vector to the next."""
NOISE = 0.05
"""Standard deviation of the noise on every sample; that of the vectors is 1."""
LOWEST_SCORE = 0.01
"""Where the real image should give more instances than it has."""

Maps = tuple[Tensor, Tensor, Tensor, Tensor, ImageGeometry]
"""The arguments of `assign_pixels`."""


@dataclass(frozen=True)
class FusingInput:
    """One image with its instances, on the device."""

    embedding: Tensor
    """(D, h, w) float32."""
    instances: Instances
    stuff_queries: Tensor
    """(S, D)."""
    geometry: ImageGeometry
    categories: CategorySet

    def fuse(self) -> FusedImage:
        """CIAE's fusion, without the download."""
        return fuse_instances(
            self.embedding, self.instances, self.stuff_queries, InferenceSettings().min_stuff_area, self.geometry
        )

    def fuse_and_download(self) -> PanopticResult:
        """What the paper calls fusion: until label map and segments are on the host."""
        return self.fuse().to_result(self.categories)

    def assign(self) -> Tensor:
        """Eq. 16 alone."""
        return assign_pixels(*self._maps)

    def assign_literally(self) -> Tensor:
        """Eq. 16 as it is written, at full size."""
        return assign_pixels_reference(*self._maps)

    def undecided_cells(self) -> float:
        """The share of the embedding map's cells whose four corners do not go to one query: the more, the slower."""
        similarity = torch.einsum("dhw,qd->qhw", self.embedding, self._normalized_queries())
        _, height, width = similarity.shape
        rows, columns = (4 * torch.arange(n, device=similarity.device) + 2 for n in (height, width))
        x1, y1, x2, y2 = self.instances.boxes.T[..., None]
        inside_y, inside_x = (rows >= y1) & (rows <= y2), (columns >= x1) & (columns <= x2)
        outside = ~(inside_y[:, :, None] & inside_x[:, None, :])
        similarity[len(self.stuff_queries) :].masked_fill_(outside, -torch.inf)
        best = similarity.argmax(dim=0)
        corners = torch.stack((best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]))
        return float((corners != corners[0]).any(dim=0).float().mean())

    def _normalized_queries(self) -> Tensor:
        return F.normalize(torch.cat((self.stuff_queries, self.instances.queries)), dim=1)

    @property
    def _maps(self) -> Maps:
        return self.embedding, self.stuff_queries, self.instances.queries, self.instances.boxes, self.geometry


def random_input(size: tuple[int, int], num_instances: int, device: torch.device) -> FusingInput:
    """Smooth random embeddings, as an image of a few dozen regions would have, and boxes of all sizes.

    Args:
        size: height and width of the camera's image. Its shorter side is resized to 800, if it is longer.
        num_instances: each with the embedding at its box's centre as its query.
        device: that it lies on.
    """
    generator = torch.Generator().manual_seed(0)
    geometry = image_geometry(*size, min(INPUT_SIZE, *size), MAX_INPUT_SIZE)
    height, width = geometry.padded[0] // 4, geometry.padded[1] // 4
    coarse = torch.randn(1, DIMENSIONS, max(2, height // GRAIN), max(2, width // GRAIN), generator=generator)
    embedding = F.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    embedding += NOISE * torch.randn(embedding.shape, generator=generator)
    extent = torch.tensor([geometry.resized[1], geometry.resized[0]])
    centers = torch.rand(num_instances, 2, generator=generator) * extent
    sides = torch.rand(num_instances, 2, generator=generator) * extent / 2
    instances = Instances(
        queries=embedding_at(embedding, centers.long()).to(device),
        boxes=torch.cat((centers - sides / 2, centers + sides / 2), dim=1).to(device),
        classes=torch.randint(80, (num_instances,), generator=generator).to(device),
        scores=torch.rand(num_instances, generator=generator).to(device),
    )
    stuff = torch.randn(NUM_STUFF, DIMENSIONS, generator=generator)
    return FusingInput(embedding.to(device), instances, stuff.to(device), geometry, coco_categories())


def real_inputs(image: np.ndarray, device: str) -> Callable[[int], FusingInput]:
    """From the shipped model and a real image (H, W, 3) uint8 RGB, for a number of instances.

    The highest scores are taken, whatever they are, as far as non-maximum suppression leaves any: there may be fewer
    than were asked for.
    """
    checkpoint = load_model(DEFAULT_MODEL)
    model = checkpoint.model
    predictor = Predictor(checkpoint, device)
    geometry = predictor.geometry(*image.shape[:2])
    with torch.inference_mode():
        pixels = torch.from_numpy(image).to(device)
        outputs = model(preprocess(pixels, "rgb", geometry, predictor.config, torch.float32))

    def with_instances(count: int) -> FusingInput:
        settings = replace(predictor.settings, score_threshold=LOWEST_SCORE, max_instances=max(1, count))
        found = select_proposals(outputs, 0, geometry.resized, settings)
        instances = Instances(
            embedding_at(outputs.embedding[0], found.locations), found.boxes, found.classes, found.scores
        )
        kept = Instances(
            instances.queries[:count], instances.boxes[:count], instances.classes[:count], instances.scores[:count]
        )
        return FusingInput(outputs.embedding[0], kept, model.memory.stuff, geometry, checkpoint.categories)

    return with_instances
