# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""From candidates to proposals in fixed shapes, for CUDA devices (Sec. IV-C, as in FCOS).

What `proposals.suppress_candidates` does, without waiting for the device and with thresholds that lie on it: a CUDA
graph of it may be replayed with others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ciae_ros.inference.candidates import Candidates
from ciae_ros.inference.proposals import Proposals
from ciae_ros.inference.triton_nms import nms_in_slots


def propose_in_slots(
    candidates: Candidates,
    image: int,
    image_size: tuple[int, int],
    score_threshold: Tensor,
    nms_threshold: Tensor,
    max_instances: int,
) -> Proposals:
    """Threshold, class-wise non-maximum suppression, best of all.

    Args:
        candidates: of a batch.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        score_threshold: () float32 on the device, as `InferenceSettings.score_threshold`.
        nms_threshold: () float32 or float64 on the device, as `InferenceSettings.nms_threshold`.
        max_instances: as in `InferenceSettings`: the number of slots.

    Returns:
        K = max_instances slots. In those that are not used, behind the others, score, class and location are 0 and the
        box is 1, 1, 0, 0, which no pixel is in.
    """
    height, width = image_size
    boxes, scores, classes, locations = (slots[image] for slots in candidates)
    x1, x2 = boxes[:, 0].clamp(0, width), boxes[:, 2].clamp(0, width)
    y1, y2 = boxes[:, 1].clamp(0, height), boxes[:, 3].clamp(0, height)
    # A box that lies in the padding has no pixel left.
    is_valid = (scores > score_threshold) & (x2 > x1) & (y2 > y1)
    order = torch.where(is_valid, scores, -torch.inf).argsort(stable=True, descending=True)
    boxes = torch.stack((x1, y1, x2, y2), dim=1)[order]
    kept, is_used = nms_in_slots(boxes, classes[order], is_valid.sum(), nms_threshold, max_instances)
    of_slot = order[kept]
    is_unused = ~is_used
    left_top = boxes[kept, :2].masked_fill(is_unused[:, None], 1)
    right_bottom = boxes[kept, 2:].masked_fill(is_unused[:, None], 0)
    return Proposals(
        boxes=torch.cat((left_top, right_bottom), dim=1),
        scores=scores[of_slot].masked_fill(is_unused, 0),
        classes=classes[of_slot].masked_fill(is_unused, 0),
        locations=locations[of_slot].masked_fill(is_unused[:, None], 0),
    )
