# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Layers of the network: normalisations, CoordConv, and deformable convolution with a fast path for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d as TorchvisionFrozenBatchNorm2d
from torchvision.ops import deform_conv2d


class FrozenBatchNorm2d(TorchvisionFrozenBatchNorm2d):
    """torchvision's layer, which under autocast would convert its input, and all that follows it, to float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape and type."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])


class DeformableConv2d(nn.Module):
    """A 3x3 convolution with sampling offsets that another convolution predicts (reference [54] of the paper).

    The weight has the shape and name of the replaced `nn.Conv2d`, so that pretrained weights can be loaded; the offsets
    are initially zero, so that both operations are equal.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.kernel_size != (3, 3) or conv.bias is not None:
            raise ValueError("only 3x3 convolutions without a bias can be made deformable")
        self.stride = conv.stride[0]
        self.groups = conv.groups
        self.weight = conv.weight
        self.offset = nn.Conv2d(conv.in_channels, 18, 3, stride=self.stride, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        offset = self.offset(x)
        if x.is_cuda:
            # torchvision's kernel requires inputs of the same type, which differ under autocast, and has no bfloat16.
            dtype = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
            output = deform_conv2d(x.to(dtype), offset.to(dtype), self.weight.to(dtype), stride=self.stride, padding=1)
            return output.to(x.dtype)
        return deform_conv2d_by_sampling(x, offset, self.weight, self.stride, self.groups)


def deform_conv2d_by_sampling(x: Tensor, offset: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """Compute torchvision's operator with padding 1 by `grid_sample` and a matrix product.

    On a CPU this is several times faster, because both parts are vectorised.

    Args:
        x: input (B, C, H, W).
        offset: offsets (B, 18, h, w) as (dy, dx) of the nine samples, in pixels.
        weight: weight (C_out, C / groups, 3, 3).
        stride: stride of the output positions in pixels.
        groups: number of groups, as in `nn.Conv2d`.

    Returns:
        Output (B, C_out, h, w).
    """
    batch, channels, height, width = x.shape
    out_height, out_width = offset.shape[-2:]
    tap = torch.arange(9, device=x.device)
    row = torch.arange(out_height, device=x.device) * stride - 1
    column = torch.arange(out_width, device=x.device) * stride - 1
    dy, dx = offset.view(batch, 9, 2, out_height, out_width).unbind(2)
    y = dy + (row[:, None] + (tap // 3)[:, None, None])
    x_position = dx + (column[None, :] + (tap % 3)[:, None, None])
    # grid_sample with align_corners=False: pixel i of n has its centre at (2i + 1) / n - 1.
    grid = torch.stack(((2 * x_position + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    samples = F.grid_sample(x, grid.flatten(1, 2).to(x.dtype), mode="bilinear", align_corners=False)
    samples = samples.view(batch, groups, channels // groups, 9, out_height * out_width)
    kernels = weight.view(groups, weight.shape[0] // groups, channels // groups, 9)
    out = torch.einsum("bgckp,gock->bgop", samples, kernels)
    return out.reshape(batch, weight.shape[0], out_height, out_width)


def group_norm(channels: int) -> nn.GroupNorm:
    """Create a layer with 32 groups, or fewer of at least 4 channels; `channels` is a multiple of 32."""
    return nn.GroupNorm(min(32, channels // 4), channels)


class CoordConv2d(nn.Module):
    """A convolution with two additional channels for x and y in -1..1 (reference [48] of the paper)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels + 2, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        batch, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height, dtype=x.dtype, device=x.device).view(1, 1, height, 1)
        columns = torch.linspace(-1, 1, width, dtype=x.dtype, device=x.device).view(1, 1, 1, width)
        coordinates = (columns.expand(batch, 1, height, width), rows.expand(batch, 1, height, width))
        return self.conv(torch.cat((x, *coordinates), dim=1))
