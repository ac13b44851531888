# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images of the network's output on a training image, as in the rows of Fig. 5."""

from __future__ import annotations

import numpy as np
import torch

from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference import CategorySet
from ciae_ros.inference.fusion.fusion import fuse
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.proposals.selection import select_proposals
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.model import CIAE
from ciae_ros.visualization import draw_overlay, draw_proposals, embedding_colors
from training.data.dataset import Batch, normalized
from training.data.target import Target


@torch.no_grad()
def training_images(
    model: CIAE, batch: Batch, categories: CategorySet, settings: InferenceSettings
) -> dict[str, np.ndarray]:
    """Draw the first image's proposals with their locations, embedding by PCA, result and ground truth.

    Returns:
        Images (h, w, 3) uint8 RGB by name.
    """
    was_training = {name: module.training for name, module in model.named_modules()}
    height, width = batch.sizes[0]
    geometry = ImageGeometry((height, width), (height, width), (batch.images.shape[2], batch.images.shape[3]))
    model.eval()
    outputs = model(normalized(batch, model.config.pixel_mean, model.config.pixel_std)[:1])
    for name, module in model.named_modules():
        module.training = was_training[name]
    proposals = select_proposals(outputs, 0, geometry.resized, settings)
    result = fuse(
        outputs.embedding[0],
        proposals,
        model.memory,
        model.config,
        settings.min_stuff_area,
        geometry,
        outputs.semantic_logits_of(0),
    )
    image = batch.images[0, :, :height, :width].permute(1, 2, 0).flip(2).contiguous().cpu().numpy()
    images = {
        "1 proposals": draw_proposals(image, proposals.boxes.cpu().numpy(), proposals.locations.cpu().numpy()),
        "2 embedding": embedding_colors(outputs.embedding[0].float().cpu().numpy(), (height, width)),
        "3 result": draw_overlay(image, result.to_result(categories)),
        "4 ground truth": draw_overlay(image, _ground_truth(batch.target, categories, height, width)),
    }
    return {name: drawn[..., ::-1].copy() for name, drawn in images.items()}


def _ground_truth(target: Target, categories: CategorySet, height: int, width: int) -> PanopticResult:
    """Convert the first image's annotation to a result."""
    segments = target.segments[0, :height, :width].cpu().numpy()
    num_stuff = len(categories.stuff)
    identities = [identity for identity in np.unique(segments).tolist() if identity >= 0]
    label_map = (np.searchsorted(identities, segments) + 1).astype(np.uint16) * (segments >= 0)
    classes = target.classes[0].tolist()
    rows = []
    for number, identity in enumerate(identities, start=1):
        ys, xs = np.nonzero(label_map == number)
        index = identity if identity < num_stuff else num_stuff + classes[identity - num_stuff]
        box = int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
        centroid = float(xs.mean()), float(ys.mean())
        rows.append(Segment(number, categories.categories[index], 1.0, len(xs), box, centroid))
    return PanopticResult(label_map.astype(np.uint16), tuple(rows))
