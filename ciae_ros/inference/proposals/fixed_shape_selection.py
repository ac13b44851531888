# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of proposals with fixed shapes, for CUDA devices (Sec. IV-C, as in FCOS).

Equivalent to `selection.suppress_candidates`, but without synchronisation and with thresholds on the device, so that a
captured CUDA graph can be replayed with other thresholds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ciae_ros.inference.proposals.candidates import Candidates
from ciae_ros.inference.proposals.duplicates import duplicate_pairs
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.selection import Proposals
from ciae_ros.inference.proposals.triton_nms import pack_bits, padded_greedy_selection, padded_nms
from ciae_ros.inference.settings import DeviceSettings


def select_padded_proposals(
    candidates: Candidates, embedding: Tensor, image: int, image_size: tuple[int, int], settings: DeviceSettings
) -> Proposals:
    """Select proposals by threshold, class-wise NMS, rank and similarity, padded to a fixed number.

    Args:
        candidates: candidates of a batch.
        embedding: (B, D, h, w) map of the batch at stride 4.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        settings: thresholds on the device; `max_instances` is the number of entries.

    Returns:
        K = max_instances entries. Padded entries come last; their score, class and location are 0, their query is any
        vector, and their box is (1, 1, 0, 0), which contains no pixel.
    """
    height, width = image_size
    boxes, scores, classes, locations = (field[image] for field in candidates)
    x1, x2 = boxes[:, 0].clamp(0, width), boxes[:, 2].clamp(0, width)
    y1, y2 = boxes[:, 1].clamp(0, height), boxes[:, 3].clamp(0, height)
    # A box that lies entirely in the padding contains no pixel.
    is_valid = (scores > settings.score_threshold) & (x2 > x1) & (y2 > y1)
    order = torch.where(is_valid, scores, -torch.inf).argsort(stable=True, descending=True)
    boxes = torch.stack((x1, y1, x2, y2), dim=1)[order]
    kept, is_used = padded_nms(boxes, classes[order], is_valid.sum(), settings.nms_threshold, settings.max_instances)
    queries = embedding_at(embedding[image], locations[order[kept]])
    pairs = duplicate_pairs(boxes[kept], queries, settings.duplicate_similarity, settings.duplicate_iou)
    unique, is_used = padded_greedy_selection(pack_bits(pairs), is_used.sum(), settings.max_instances)
    kept, queries = kept[unique], queries[unique]
    index = order[kept]
    is_padding = ~is_used
    left_top = boxes[kept, :2].masked_fill(is_padding[:, None], 1)
    right_bottom = boxes[kept, 2:].masked_fill(is_padding[:, None], 0)
    return Proposals(
        boxes=torch.cat((left_top, right_bottom), dim=1),
        scores=scores[index].masked_fill(is_padding, 0),
        classes=classes[index].masked_fill(is_padding, 0),
        locations=locations[index].masked_fill(is_padding[:, None], 0),
        queries=queries,
    )
