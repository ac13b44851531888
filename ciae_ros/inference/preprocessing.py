"""A camera image to the network's input: resize, channel order, normalise, pad. On the device that the image is on."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.model.config import ModelConfig

ChannelOrder = Literal["rgb", "bgr", "mono"]


def preprocess(
    image: Tensor, channel_order: ChannelOrder, geometry: ImageGeometry, config: ModelConfig, dtype: torch.dtype
) -> Tensor:
    """The padded, normalised image.

    Args:
        image: (H, W, C) uint8, C at least 3 (further channels are ignored) or 1 for "mono".
        channel_order: of the first three channels.
        geometry: of an image of H x W pixels.
        config: mean and standard deviation.
        dtype: of the result.

    Returns:
        (1, 3, H', W') RGB of `dtype`, H' x W' the padded size; the padding is zero, as the mean colour would be.
    """
    resized = _resize(image.permute(2, 0, 1)[None], geometry.resized)
    if channel_order == "bgr":
        resized = resized[:, :3].flip(1)
    mean = torch.tensor(config.pixel_mean, device=image.device).view(3, 1, 1)
    std = torch.tensor(config.pixel_std, device=image.device).view(3, 1, 1)
    padded = torch.zeros(1, 3, *geometry.padded, dtype=dtype, device=image.device)
    height, width = geometry.resized
    padded[:, :, :height, :width] = (resized[:, :3].float() - mean) / std
    return padded


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[-2:] == size:
        return image
    # With the low-pass filter (antialias): a 4K camera's image would else be sampled, not shrunk. On a CPU the
    # operator is fastest on bytes, on a CUDA device it does not take them.
    image = image if image.device.type == "cpu" else image.float()
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
