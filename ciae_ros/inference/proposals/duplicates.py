# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Suppression of duplicate proposals, which is not part of the paper.

Non-maximum suppression leaves several proposals of an object whose boxes differ. Their queries, sampled within the same
object, are nearly equal, so that all of them win some of its pixels, and the object falls into pieces. Two proposals
are therefore duplicates if their queries are similar and their boxes overlap; of two, the one with the higher score is
kept. Their classes may differ: the queries of Eq. 16 do not depend on them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.proposals.suppression import box_iou

OFF = 1.0
"""Similarity threshold with which no proposal is a duplicate, as in the paper."""


def duplicate_pairs(boxes: Tensor, queries: Tensor, similarity: float | Tensor, iou: float | Tensor) -> Tensor:
    """Return which proposals are duplicates of which better ones.

    Args:
        boxes: (K, 4) x1, y1, x2, y2, in descending order of score.
        queries: (K, D) of any norm.
        similarity: cosine similarity that the queries of duplicates exceed; a number or a tensor ().
        iou: IoU that their boxes exceed; a number or a tensor ().

    Returns:
        (K, K) bool, True at [i, j] if j is a duplicate of i, whose score is higher. Does not synchronise.
    """
    queries = F.normalize(queries.float(), dim=1)
    # The cosine of equal vectors may be rounded to above 1.
    cosine = (queries @ queries.T).clamp(max=1)
    return ((cosine > similarity) & (box_iou(boxes) > iou)).triu(diagonal=1)


def without_duplicates(duplicates: Tensor) -> Tensor:
    """Return the (n,) int64 ascending indices of the proposals that are not duplicates of a kept one.

    Args:
        duplicates: (K, K) from `duplicate_pairs`, on the CPU.
    """
    rows = duplicates.numpy()
    is_kept = np.ones(len(rows), dtype=bool)
    for index in np.flatnonzero(rows.any(axis=1)):
        if is_kept[index]:
            is_kept &= ~rows[index]
    return torch.from_numpy(is_kept.nonzero()[0])
