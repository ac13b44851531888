# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of instance proposals by threshold, non-maximum suppression (Sec. IV-C, as in FCOS) and similarity."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ciae_ros.inference.proposals.candidates import Candidates, NetworkOutputs, candidates_of
from ciae_ros.inference.proposals.duplicates import OFF, duplicate_pairs, without_duplicates
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.suppression import class_wise_nms
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.model import RawOutputs
from ciae_ros.model.strides import PROPOSAL_STRIDES


@dataclass(frozen=True)
class Proposals:
    """K detected instances of one image in descending order of score; positions in pixels of the network's input."""

    boxes: Tensor
    """(K, 4) x1, y1, x2, y2, clipped to the image."""
    scores: Tensor
    """(K,) geometric mean of class probability and centre-ness, 0 to 1."""
    classes: Tensor
    """(K,) int64 index among the detector's classes."""
    locations: Tensor
    """(K, 2) int64 x, y of the pixel that proposed the instance."""
    queries: Tensor
    """(K, D) embedding at that pixel, before L2 normalisation (Sec. IV-C)."""


def select_proposals(
    outputs: RawOutputs, image: int, image_size: tuple[int, int], settings: InferenceSettings
) -> Proposals:
    """Select proposals: threshold, top k of each level, class-wise NMS, top k overall, suppression of duplicates.

    Args:
        outputs: outputs of the network.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        settings: thresholds and counts.
    """
    promising = _promising_locations(outputs, image, settings.score_threshold**2)
    levels = [
        _propose_on_level(
            outputs.class_logits[level][image],
            outputs.centerness[level][image],
            outputs.box_distances[level][image],
            places,
            PROPOSAL_STRIDES[level],
            settings,
        )
        for level, places in promising.items()
    ]
    boxes, scores, classes, locations = (torch.cat(parts) for parts in zip(*levels, strict=True))
    return _suppress(boxes, scores, classes, locations, outputs.embedding[image], image_size, settings)


def suppress_candidates(
    candidates: Candidates, embedding: Tensor, image: int, image_size: tuple[int, int], settings: InferenceSettings
) -> Proposals:
    """Select proposals from candidates, which have not been thresholded. Synchronises with the device.

    Args:
        candidates: at most `settings.max_proposals_per_level` of each level.
        embedding: (B, D, h, w) map of the batch at stride 4.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        settings: thresholds and counts.
    """
    boxes, scores, classes, locations = (field[image] for field in candidates)
    valid = scores > settings.score_threshold
    return _suppress(
        boxes[valid], scores[valid], classes[valid], locations[valid], embedding[image], image_size, settings
    )


def propose(outputs: NetworkOutputs, image: int, image_size: tuple[int, int], settings: InferenceSettings) -> Proposals:
    """Select the proposals of an image from the outputs of any network (Sec. IV-C).

    Args:
        outputs: raw outputs, or candidates that the network has selected.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        settings: thresholds and counts.

    Raises:
        ValueError: the network selects a different number of candidates than the settings require.
    """
    if isinstance(outputs, RawOutputs):
        return select_proposals(outputs, image, image_size, settings)
    candidates = candidates_of(outputs, settings.max_proposals_per_level)
    return suppress_candidates(candidates, outputs.embedding, image, image_size, settings)


def _suppress(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    locations: Tensor,
    embedding: Tensor,
    image_size: tuple[int, int],
    settings: InferenceSettings,
) -> Proposals:
    height, width = image_size
    boxes = boxes.minimum(boxes.new_tensor([width, height, width, height])).clamp(min=0)
    # A box that lies entirely in the padding contains no pixel.
    in_image = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, classes, locations = boxes[in_image], scores[in_image], classes[in_image], locations[in_image]
    kept = class_wise_nms(boxes, scores, classes, settings.nms_threshold)[: settings.max_instances]
    queries = embedding_at(embedding, locations[kept])
    if settings.duplicate_similarity < OFF:
        pairs = duplicate_pairs(boxes[kept], queries, settings.duplicate_similarity, settings.duplicate_iou)
        unique = without_duplicates(pairs.cpu()).to(kept.device)
        kept, queries = kept[unique], queries[unique]
    return Proposals(boxes[kept], scores[kept], classes[kept], locations[kept], queries)


def _promising_locations(outputs: RawOutputs, image: int, squared_threshold: float) -> dict[int, Tensor]:
    """Return the locations of each level whose best class has a score above the threshold; always of one level.

    Few locations have one: the best class of each is checked before all classes, for all levels at once.
    """
    best = [logits[image].flatten(1).amax(dim=0) for logits in outputs.class_logits]
    centerness = torch.cat([logits[image].flatten() for logits in outputs.centerness])
    squared_scores = torch.cat(best).float().sigmoid() * centerness.float().sigmoid()
    promising = torch.nonzero(squared_scores > squared_threshold).flatten()
    starts = [0, *accumulate(map(len, best))]
    ends = torch.searchsorted(promising, torch.tensor(starts, device=promising.device)).tolist()
    found = {
        level: promising[first:end] - starts[level] for level, (first, end) in enumerate(pairwise(ends)) if first < end
    }
    return found or {0: promising}


def _propose_on_level(
    class_logits: Tensor,
    centerness: Tensor,
    box_distances: Tensor,
    promising: Tensor,
    stride: int,
    settings: InferenceSettings,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return boxes (not clipped), scores, classes and locations of the highest scores of one level."""
    width = class_logits.shape[2]
    squared_threshold = settings.score_threshold**2
    class_logits, centerness, box_distances = class_logits.flatten(1), centerness.flatten(), box_distances.flatten(1)
    squared_scores = class_logits[:, promising].float().sigmoid() * centerness[promising].float().sigmoid()
    classes, candidates = torch.nonzero(squared_scores > squared_threshold).unbind(1)
    squared_scores = squared_scores[classes, candidates]
    squared_scores, best = squared_scores.topk(min(len(squared_scores), settings.max_proposals_per_level))
    index = promising[candidates[best]]
    locations = torch.stack((index % width, index // width), dim=1) * stride + stride // 2
    left_top, right_bottom = box_distances[:, index].float().T.split(2, dim=1)
    boxes = torch.cat((locations - left_top, locations + right_bottom), dim=1)
    return boxes, squared_scores.sqrt(), classes[best], locations
