# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Deformable convolution (Dai et al. 2017, reference [54] of the paper) with a fast path for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d


class DeformableConv2d(nn.Module):
    """A 3x3 convolution whose nine taps move by offsets that another convolution predicts.

    The weight keeps the shape and the name of the `nn.Conv2d` that it replaces, so that pretrained weights load; the
    offsets start at zero, where both are the same operation.
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
        """(B, C, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        offset = self.offset(x)
        if x.is_cuda:
            # torchvision's kernel takes one type for all of its inputs; under autocast they would differ.
            return deform_conv2d(x, offset.to(x.dtype), self.weight.to(x.dtype), stride=self.stride, padding=1)
        return deform_conv2d_by_sampling(x, offset, self.weight, self.stride, self.groups)


def deform_conv2d_by_sampling(x: Tensor, offset: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """The same function as torchvision's operator with padding 1, from `grid_sample` and one matrix product.

    On a CPU several times as fast, because both parts are vectorised there.

    Args:
        x: (B, C, H, W).
        offset: (B, 18, h, w), (dy, dx) of the nine taps in pixels.
        weight: (C_out, C / groups, 3, 3).
        stride: of the output positions, in pixels.
        groups: as in `nn.Conv2d`.

    Returns:
        (B, C_out, h, w).
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
