# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Overlap of boxes, and non-maximum suppression by torchvision's operator, without torchvision's Python package.

The package imports its models and PyTorch's compiler, which takes a second of every start of a node.
"""

from __future__ import annotations

from functools import cache
from importlib import util
from pathlib import Path

import torch
from torch import Tensor


def class_wise_nms(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Return the indices of the boxes that are kept, in descending order of score, and then in ascending order.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 on a CPU or a CUDA device.
        scores: (N,).
        classes: (N,) int64; only boxes of one class suppress each other.
        threshold: IoU above which the lower-scoring of two boxes is suppressed.
    """
    _load_operators()
    kept = [torch.empty(0, dtype=torch.int64, device=boxes.device)]
    for one in classes.unique():
        members = (classes == one).nonzero().flatten()
        kept.append(members[torch.ops.torchvision.nms(boxes[members], scores[members], threshold)])
    # Of equal scores, which half precision makes common, the first one comes first.
    index = torch.cat(kept).sort().values
    return index[scores[index].argsort(descending=True, stable=True)]


def box_iou(boxes: Tensor) -> Tensor:
    """Return the IoU (K, K) of each pair of boxes (K, 4) x1, y1, x2, y2."""
    overlap = torch.minimum(boxes[:, None, 2:], boxes[:, 2:]) - torch.maximum(boxes[:, None, :2], boxes[:, :2])
    intersection = overlap.clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return intersection / (area[:, None] + area - intersection)


@cache
def _load_operators() -> None:
    """Load the library of torchvision's operators, unless the package has.

    Raises:
        ImportError: torchvision is not installed, or was built without operators.
    """
    if hasattr(torch.ops.torchvision, "nms"):
        return
    found = util.find_spec("torchvision")
    folders = found.submodule_search_locations if found else None
    libraries = [path for folder in folders or () for path in sorted(Path(folder).glob("_C*.so"))]
    if not libraries:
        raise ImportError("torchvision has no library of operators: install torchvision again")
    torch.ops.load_library(str(libraries[0]))
