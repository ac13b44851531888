# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Inputs of fusion: smooth random embeddings, or those of the shipped model on a real image."""

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
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.fusion.fusion import Instances, fuse_instances
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.inference.proposals.duplicates import OFF
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.selection import select_proposals
from ciae_ros.inference.settings import InferenceSettings

NUM_STUFF, DIMENSIONS = 53, 32
"""Numbers of classes of COCO, and dimensions of the paper."""
INPUT_SIZE, MAX_INPUT_SIZE = 800, 1333
GRAIN = 8
"""Distance between independent random vectors, in samples of the embedding map."""
NOISE = 0.05
"""Standard deviation of the noise on each sample, relative to that of the vectors."""
LOWEST_SCORE = 0.01
"""Score threshold for more instances than the real image has."""

Maps = tuple[Tensor, Tensor, Tensor, Tensor, ImageGeometry]
"""Arguments of `assign_pixels`."""


@dataclass(frozen=True)
class FusionInput:
    """An image with its instances, on the device."""

    embedding: Tensor
    """Embedding (D, h, w) float32."""
    instances: Instances
    stuff_queries: Tensor
    """Queries of the stuff classes (S, D)."""
    geometry: ImageGeometry
    categories: CategorySet

    def fuse(self) -> FusedImage:
        """Run CIAE's fusion without the download."""
        return fuse_instances(
            self.embedding, self.instances, self.stuff_queries, InferenceSettings().min_stuff_area, self.geometry
        )

    def fuse_and_download(self) -> PanopticResult:
        """Run the complete fusion, until label map and segments are on the host."""
        return self.fuse().to_result(self.categories)

    def assign(self) -> Tensor:
        """Run only the assignment of Eq. 16."""
        return assign_pixels(*self._maps)

    def assign_reference(self) -> Tensor:
        """Compute Eq. 16 literally, at full size."""
        return assign_pixels_reference(*self._maps)

    def undecided_cells(self) -> float:
        """Return the share of the embedding map's cells whose four corners have different queries."""
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


def random_input(size: tuple[int, int], num_instances: int, device: torch.device) -> FusionInput:
    """Create smooth random embeddings, as of an image with a few dozen regions, and boxes of all sizes.

    Args:
        size: height and width of the camera's image, whose shorter side is resized to at most 800.
        num_instances: number of instances; their queries are the embedding at the centre of their boxes.
        device: device of the tensors.
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
    return FusionInput(embedding.to(device), instances, stuff.to(device), geometry, coco_categories())


def real_inputs(image: np.ndarray, device: str) -> Callable[[int], FusionInput]:
    """Create inputs from the shipped model and a real image (H, W, 3) uint8 RGB, for a number of instances.

    The instances are those with the highest scores after non-maximum suppression, which may be fewer than requested.
    """
    checkpoint = load_model(DEFAULT_MODEL)
    model = checkpoint.model
    predictor = Predictor(checkpoint, device)
    geometry = predictor.geometry(*image.shape[:2])
    with torch.inference_mode():
        pixels = torch.from_numpy(image).to(device)
        outputs = model(preprocess(pixels, "rgb", geometry, predictor.backend.input_format, torch.float32))

    def with_instances(count: int) -> FusionInput:
        settings = replace(
            predictor.settings, score_threshold=LOWEST_SCORE, duplicate_similarity=OFF, max_instances=max(1, count)
        )
        found = select_proposals(outputs, 0, geometry.resized, settings)
        instances = Instances(found.queries, found.boxes, found.classes, found.scores)
        kept = Instances(
            instances.queries[:count], instances.boxes[:count], instances.classes[:count], instances.scores[:count]
        )
        return FusionInput(outputs.embedding[0], kept, model.memory.stuff, geometry, checkpoint.categories)

    return with_instances
