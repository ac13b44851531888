# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Comparison of what only CUDA devices run with what runs everywhere.

On a CUDA device, results come from captured graphs, overlapping streams and Triton kernels, any of which may break
with a new driver, device or version. A frame is therefore also computed plainly: the network eagerly, proposals and
fusion by the operators of the CPU. Unless both agree, PyTorch's operators are used from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.settings import InferenceSettings

MIN_AGREEMENT = 0.99
"""Minimum `agreement`. Rounding changes up to 0.3 % of the pixels: those of an untrained network in half precision,
whose hundred instances are hardly different."""
MAX_INPUT_DIFFERENCE = 2.0
"""Maximum difference of preprocessed images, in grey levels: a CPU rounds resized pixels to integers."""


class SelfTestError(ValueError):
    """Even with PyTorch's operators the device does not compute what the CPU does; the message says what differs."""


def agreement(found: PanopticResult, expected: PanopticResult) -> float:
    """Return the share of pixels, 0 to 1, in pairs of segments that correspond and have the same category.

    Segments correspond if each is the one with which the other shares the most pixels; so do unlabelled pixels. Equal
    ids are not required, because one segment more or less shifts all ids.
    """
    categories = [
        np.array([-1, *(segment.category.id for segment in each.segments)], np.int64) for each in (found, expected)
    ]
    shape = len(categories[0]), len(categories[1])
    pairs = np.ravel_multi_index((found.label_map.ravel(), expected.label_map.ravel()), shape)
    overlaps = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    corresponds = (overlaps == overlaps.max(axis=1, keepdims=True)) & (overlaps == overlaps.max(axis=0, keepdims=True))
    is_same = categories[0][:, None] == categories[1]
    return float(overlaps[corresponds & is_same].sum() / found.label_map.size)


def fault_of(results: Sequence[PanopticResult], expected: Sequence[PanopticResult], what: str) -> str:
    """Return how far the results of a batch are from those that were expected, human-readable; empty if they agree.

    Args:
        results: results of the batch's images.
        expected: plain results of the same images.
        what: name of what has computed the results.
    """
    worst = min(agreement(*pair) for pair in zip(results, expected, strict=True))
    return "" if worst >= MIN_AGREEMENT else f"{what} agrees with the CPU on {worst:.1%} of the pixels only"


def check_input(found: Tensor, expected: Tensor, pixel_std: tuple[float, float, float]) -> None:
    """Compare the preprocessed images (B, 3, H, W) of a device with those of the CPU.

    Raises:
        SelfTestError: they differ.
    """
    difference = (found.cpu().float() - expected).abs()
    rounding = torch.finfo(found.dtype).eps * float(expected.abs().max())
    if not bool((difference <= MAX_INPUT_DIFFERENCE / min(pixel_std) + rounding).all()):
        raise SelfTestError(
            f"preprocessing on {found.device} differs from that on the CPU by up to {float(difference.max()):.3g}"
        )


def with_many_instances(settings: InferenceSettings) -> InferenceSettings:
    """Return settings with which as many proposals and segments as possible take part, however little they score."""
    return replace(settings, score_threshold=0.0, min_stuff_area=0)


def textured_image(height: int, width: int) -> np.ndarray:
    """Return an image (H, W, 3) uint8 of flat rectangles with texture, always the same."""
    generator = torch.Generator().manual_seed(0)

    def noise(grain: int, mode: str) -> Tensor:
        cells = torch.rand(1, 3, max(2, height // grain), max(2, width // grain), generator=generator)
        return F.interpolate(cells, size=(height, width), mode=mode)[0]

    image = 0.7 * noise(48, "nearest") + 0.3 * noise(8, "bicubic").clamp(0, 1)
    return (255 * image).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
