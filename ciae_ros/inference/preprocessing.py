# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Preprocessing of a camera image on its device: resize, reorder channels, normalise and pad."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.core.compiled import compiled
from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.row_blocks import for_row_blocks


class Normalization(Protocol):
    """Mean and standard deviation of R, G and B in 0..255, as in `InputFormat` and `ModelConfig`."""

    @property
    def pixel_mean(self) -> tuple[float, float, float]: ...

    @property
    def pixel_std(self) -> tuple[float, float, float]: ...


def preprocess(
    image: Tensor,
    channel_order: ChannelOrder,
    geometry: ImageGeometry,
    normalization: Normalization,
    dtype: torch.dtype,
) -> Tensor:
    """Return the normalised, padded network input of an image.

    Args:
        image: (H, W, C) uint8, C at least 3 (further channels are ignored) or 1 for "mono".
        channel_order: order of the first three channels.
        geometry: geometry of an image of H x W pixels.
        normalization: mean and standard deviation.
        dtype: type of the result.

    Returns:
        (1, 3, H', W') RGB, channels last, where H' x W' is the padded size; the padding is zero, which is the mean
        colour.
    """
    resized = _resize(image.permute(2, 0, 1)[None], geometry.resized)[0]
    if channel_order == "mono":
        resized = resized.expand(3, -1, -1)
    order = (2, 1, 0) if channel_order == "bgr" else (0, 1, 2)
    if image.device.type == "cpu":
        # Computed in float32, as on a CUDA device, and rounded to a lower precision at the end.
        return _normalize_on_cpu(resized, order, normalization, geometry.padded).to(dtype)
    padded = torch.zeros(1, *geometry.padded, 3, dtype=dtype, device=image.device).permute(0, 3, 1, 2)
    height, width = geometry.resized
    # Python scalars, unlike a tensor, need not be copied to the device.
    constants = zip(normalization.pixel_mean, normalization.pixel_std, strict=True)
    for target_channel, channel, (mean, std) in zip(padded[0], order, constants, strict=True):
        target_channel[:height, :width] = (resized[channel].float() - mean) / std
    return padded


def _normalize_on_cpu(
    image: Tensor, order: tuple[int, int, int], normalization: Normalization, size: tuple[int, int]
) -> Tensor:
    """Return the normalised, padded image of one (C, H, W) uint8 of any strides, as float32."""
    scale = 1 / np.array(normalization.pixel_std, np.float32)
    offset = -np.array(normalization.pixel_mean, np.float32) * scale
    pixels = image.permute(1, 2, 0).numpy()
    target = np.empty((1, *size, 3), np.float32)
    for_row_blocks(_normalize_rows, size[0], pixels, np.array(order), scale, offset, target[0])
    return torch.from_numpy(target).permute(0, 3, 1, 2)


@compiled
def _normalize_rows(
    block: int,
    top: int,
    bottom: int,
    pixels: np.ndarray,
    order: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    target: np.ndarray,
) -> None:
    height, width = pixels.shape[:2]
    r, g, b = order
    for y in range(top, bottom):
        if y < height:
            for x in range(width):
                target[y, x, 0] = pixels[y, x, r] * scale[0] + offset[0]
                target[y, x, 1] = pixels[y, x, g] * scale[1] + offset[1]
                target[y, x, 2] = pixels[y, x, b] * scale[2] + offset[2]
            target[y, width:] = 0
        else:
            target[y] = 0


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[-2:] == size:
        return image
    # Antialiasing is needed because a 4K image would otherwise be subsampled. On a CPU the operator is fastest on
    # bytes; on a CUDA device it does not support them.
    image = image if image.device.type == "cpu" else image.float()
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
