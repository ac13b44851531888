# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of a fixed number of candidates per pyramid level (Sec. IV-C, as in FCOS).

Unlike `selection.select_proposals`, which considers only scores above the threshold, this needs no synchronisation with
the device: it can be captured into a CUDA graph and exported.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ciae_ros.model import RawOutputs
from ciae_ros.model.strides import PROPOSAL_STRIDES


class Candidates(NamedTuple):
    """N candidates of each of B images before threshold and NMS; positions in pixels of the network's input."""

    boxes: Tensor
    """(B, N, 4) float32 x1, y1, x2, y2, not clipped to the image."""
    scores: Tensor
    """(B, N) float32, geometric mean of class probability and centre-ness; sorted only within a level."""
    classes: Tensor
    """(B, N) int64 index among the detector's classes."""
    locations: Tensor
    """(B, N, 2) int64 x, y of the pixel that proposed the instance."""


def select_candidates(outputs: RawOutputs, max_per_level: int) -> Candidates:
    """Select the `max_per_level` highest scores of every level, or all if a level has fewer.

    Args:
        outputs: outputs of the network for B images.
        max_per_level: `InferenceSettings.max_proposals_per_level`.
    """
    levels = [
        _select_on_level(logits, centerness, distances, stride, max_per_level)
        for logits, centerness, distances, stride in zip(
            outputs.class_logits, outputs.centerness, outputs.box_distances, PROPOSAL_STRIDES, strict=True
        )
    ]
    return Candidates(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))


def _select_on_level(
    class_logits: Tensor, centerness: Tensor, box_distances: Tensor, stride: int, count: int
) -> Candidates:
    _, num_classes, height, width = class_logits.shape
    class_logits = class_logits.flatten(2)
    centerness = centerness.flatten(1).float().sigmoid()
    # The best (location, class) pairs are among the locations with the best classes, so the large search covers
    # locations only.
    best_of_location = class_logits.amax(dim=1).float().sigmoid() * centerness
    _, places = best_of_location.topk(min(count, height * width), dim=1)
    num_places = places.shape[1]
    probabilities = class_logits.gather(2, places[:, None].expand(-1, num_classes, -1)).float().sigmoid()
    squared_scores = (probabilities * centerness.gather(1, places)[:, None]).flatten(1)
    squared_scores, pairs = squared_scores.topk(min(count, num_classes * num_places), dim=1)
    index = places.gather(1, pairs % num_places)
    locations = torch.stack((index % width, index // width), dim=2) * stride + stride // 2
    distances = box_distances.flatten(2).gather(2, index[:, None].expand(-1, 4, -1)).float().transpose(1, 2)
    boxes = torch.cat((locations - distances[..., :2], locations + distances[..., 2:]), dim=2)
    return Candidates(boxes, squared_scores.sqrt(), pairs // num_places, locations)


class CandidateOutputs(NamedTuple):
    """Outputs of a network that selects the candidates itself, for B images of padded size H x W."""

    embedding: Tensor
    """(B, embedding_dim, H / 4, W / 4), as in `RawOutputs`."""
    candidates: Candidates
    max_per_level: int
    """Number of candidates per pyramid level (`InferenceSettings.max_proposals_per_level`)."""
    semantic_logits: Tensor | None = None
    """(B, num_stuff_classes + 1, H / 4, W / 4), as in `RawOutputs`."""

    def semantic_logits_of(self, image: int) -> Tensor | None:
        """Return the logits (num_stuff_classes + 1, H / 4, W / 4) of one image, if the model has a semantic branch."""
        return None if self.semantic_logits is None else self.semantic_logits[image]


NetworkOutputs = RawOutputs | CandidateOutputs


def candidates_of(outputs: NetworkOutputs, max_per_level: int) -> Candidates:
    """Return the candidates of a batch from the outputs of any network.

    Raises:
        ValueError: the network selects a different number of candidates.
    """
    if isinstance(outputs, RawOutputs):
        return select_candidates(outputs, max_per_level)
    if max_per_level != outputs.max_per_level:
        raise ValueError(
            f"max_proposals_per_level is {max_per_level}, the model was exported with {outputs.max_per_level}: "
            "use that, or export it again"
        )
    return outputs.candidates
