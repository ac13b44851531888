# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Class-wise greedy non-maximum suppression with fixed shapes, for CUDA devices.

One kernel computes a bit mask of all pairs of boxes that overlap too much; a second one walks through the boxes in the
order of their scores. The number of valid boxes and the threshold stay on the device, so that a captured CUDA graph can
be replayed with other values.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

BITS = 32
"""Number of boxes whose suppression bits share one int32 word."""
BLOCK_ROWS = 128
"""Number of boxes whose words one program of `find_overlaps` computes."""


def padded_nms(
    boxes: Tensor, classes: Tensor, num_valid: Tensor, threshold: Tensor, max_kept: int
) -> tuple[Tensor, Tensor]:
    """Select the boxes that no higher-scoring box of their class overlaps (torchvision's rule).

    Args:
        boxes: (N, 4) float32 x1, y1, x2, y2, the highest score first.
        classes: (N,) int64 class of each box.
        num_valid: () int64 or int32, number of leading boxes that are considered.
        threshold: () float32 or float64: a box is suppressed if its IoU with a kept, higher-scoring one exceeds it. The
            IoU is float32; torchvision compares in float32 on a CUDA device and in float64 on a CPU.
        max_kept: maximum number of boxes to keep.

    Returns:
        (max_kept,) int64 ascending indices of the kept boxes, padded with zeros; and (max_kept,) bool, False for the
        padding.
    """
    num_boxes = len(boxes)
    words = max(1, triton.cdiv(num_boxes, BITS))
    # Uninitialised: the second kernel reads only what the first one has written.
    overlaps = torch.empty(num_boxes, words, dtype=torch.int32, device=boxes.device)
    if num_boxes:
        with torch.cuda.device_of(boxes):
            # Sums of products must be rounded as in torchvision, so multiply-add must not be fused.
            find_overlaps[triton.cdiv(num_boxes, BLOCK_ROWS), words](
                boxes.contiguous(),
                classes.contiguous(),
                num_valid,
                threshold,
                overlaps,
                words,
                BITS=BITS,
                BLOCK_ROWS=BLOCK_ROWS,
                num_warps=4,
                enable_fp_fusion=False,
            )
    return padded_greedy_selection(overlaps, num_valid, max_kept)


def padded_greedy_selection(suppressed: Tensor, num_valid: Tensor, max_kept: int) -> tuple[Tensor, Tensor]:
    """Select, from the best entry on, each one that no selected one suppresses.

    Args:
        suppressed: (N, words) int32: bit b of word w of row i says whether entry i suppresses the later 32 * w + b.
        num_valid: () int64 or int32, number of leading entries that are considered.
        max_kept: maximum number of entries to keep.

    Returns:
        As of `padded_nms`.
    """
    num_entries, words = suppressed.shape
    kept = torch.zeros(max_kept, dtype=torch.int64, device=suppressed.device)
    num_kept = torch.zeros(1, dtype=torch.int64, device=suppressed.device)
    if num_entries:
        with torch.cuda.device_of(suppressed):
            keep_greedily[1,](
                suppressed,
                num_valid,
                kept,
                num_kept,
                words,
                max_kept,
                BITS=BITS,
                BLOCK_WORDS=triton.next_power_of_2(words),
                num_warps=4,
            )
    return kept, torch.arange(max_kept, device=suppressed.device) < num_kept


def pack_bits(pairs: Tensor) -> Tensor:
    """Pack rows (N, N) bool into the (N, words) int32 that `padded_greedy_selection` takes."""
    padded = F.pad(pairs, (0, -len(pairs) % BITS)).unflatten(1, (-1, BITS))
    bits = torch.arange(BITS, dtype=torch.int32, device=pairs.device)
    return (padded.int() << bits).sum(dim=2, dtype=torch.int32)


@triton.jit(do_not_specialize=["words"])
def find_overlaps(
    boxes: tl.tensor,
    classes: tl.tensor,
    num_valid: tl.tensor,
    threshold: tl.tensor,
    overlaps: tl.tensor,
    words: tl.tensor,
    BITS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
) -> None:
    """Compute one word of some rows of `overlaps` (N, words): bit b of word w stands for box BITS * w + b.

    Words beyond the valid boxes, and words whose boxes all precede those of the rows, are not written.
    """
    count = tl.load(num_valid).to(tl.int32)
    first_row, first_column = tl.program_id(0) * BLOCK_ROWS, tl.program_id(1) * BITS
    if (first_row < count) & (first_column < count) & (first_column + BITS > first_row):
        row, bit = first_row + tl.arange(0, BLOCK_ROWS), tl.arange(0, BITS)
        column = first_column + bit
        is_row, is_column = row < count, column < count
        x1, y1, x2, y2 = load_boxes(boxes, row, is_row)
        other_x1, other_y1, other_x2, other_y2 = load_boxes(boxes, column, is_column)
        width = tl.minimum(x2[:, None], other_x2[None, :]) - tl.maximum(x1[:, None], other_x1[None, :])
        height = tl.minimum(y2[:, None], other_y2[None, :]) - tl.maximum(y1[:, None], other_y1[None, :])
        intersection = tl.maximum(width, 0.0) * tl.maximum(height, 0.0)
        area, other_area = (x2 - x1) * (y2 - y1), (other_x2 - other_x1) * (other_y2 - other_y1)
        iou = tl.div_rn(intersection, area[:, None] + other_area[None, :] - intersection)
        limit = tl.load(threshold)
        same_class = (
            tl.load(classes + row, mask=is_row, other=-1)[:, None]
            == tl.load(classes + column, mask=is_column, other=-2)[None, :]
        )
        suppresses = (iou.to(limit.dtype) > limit) & same_class & (row[:, None] < column[None, :])
        word = tl.sum(tl.where(suppresses, (tl.full((1,), 1, tl.int32) << bit)[None, :], 0), 1)
        tl.store(overlaps + row * words + tl.program_id(1), word.to(tl.int32), mask=is_row)


@triton.jit
def load_boxes(boxes: tl.tensor, index: tl.tensor, exists: tl.tensor) -> tl.tensor:
    """Load the corners x1, y1, x2, y2 of some boxes."""
    x1 = tl.load(boxes + 4 * index, mask=exists, other=0.0)
    y1 = tl.load(boxes + 4 * index + 1, mask=exists, other=0.0)
    x2 = tl.load(boxes + 4 * index + 2, mask=exists, other=0.0)
    y2 = tl.load(boxes + 4 * index + 3, mask=exists, other=0.0)
    return x1, y1, x2, y2


@triton.jit
def bitwise_or(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    return a | b


@triton.jit(do_not_specialize=["words", "max_kept"])
def keep_greedily(
    overlaps: tl.tensor,
    num_valid: tl.tensor,
    kept: tl.tensor,
    num_kept: tl.tensor,
    words: tl.tensor,
    max_kept: tl.tensor,
    BITS: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
) -> None:
    """Walk through the boxes one word at a time, in a single program that visits only the kept boxes.

    Within a word the boxes depend on each other; what they suppress in later words is read once for all of them.
    """
    count = tl.load(num_valid).to(tl.int32)
    word = tl.arange(0, BLOCK_WORDS)
    bit = tl.arange(0, BITS)
    bit_value = tl.full((BITS,), 1, tl.int32) << bit
    removed = tl.zeros((BLOCK_WORDS,), tl.int32)
    taken = 0
    current = 0
    while (current * BITS < count) & (taken < max_kept):
        row = current * BITS + bit
        is_valid = row < count
        overlaps_here = tl.load(overlaps + row * words + current, mask=is_valid, other=0)
        exist = tl.sum(tl.where(is_valid, bit_value, 0), 0)
        # Bits of the boxes of this word that may still be kept, and of those that are.
        left = exist.to(tl.int32) & ~tl.sum(tl.where(word == current, removed, 0), 0).to(tl.int32)
        stay = left & 0
        while (left != 0) & (taken < max_kept):
            lowest = left & -left
            is_lowest = bit_value == lowest
            tl.store(kept + taken, (current * BITS + tl.sum(tl.where(is_lowest, bit, 0), 0)).to(tl.int64))
            taken += 1
            stay |= lowest
            left &= ~(lowest | tl.sum(tl.where(is_lowest, overlaps_here, 0), 0).to(tl.int32))
        is_kept = (bit_value & stay) != 0
        is_later = (word > current) & (word * BITS < count)
        removes = tl.load(
            overlaps + row[:, None] * words + word[None, :], mask=is_kept[:, None] & is_later[None, :], other=0
        )
        removed |= tl.reduce(removes, 0, bitwise_or)
        current += 1
    tl.store(num_kept, taken)
