# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Augmentation of an image and its segments with torchvision's v2 transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from ciae_ros.inference.geometry import image_geometry
from training.data.sample import VOID


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of a training image, applied in this order. The defaults are those of the paper (Sec. V-C).

    Segments are resized by nearest-neighbour sampling and boxes are computed from them afterwards, so both are exact.
    """

    shorter_side: tuple[int, int] = (800, 800)
    """Range of the shorter side in pixels, from which it is drawn; (640, 800) in Table I."""
    longer_side: int = 1333
    """Maximum longer side in pixels; the aspect ratio is preserved."""
    large_scale_jitter: tuple[float, float] | None = None
    """Alternative resizing: fit into `crop`, then scale by a factor drawn from this range, such as (0.1, 2.0)."""
    crop: tuple[int, int] | None = None
    """Height and width of a random crop; smaller images are padded with void. None: whole images."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color: bool = False
    """Random brightness, contrast, saturation and hue."""

    def __post_init__(self) -> None:
        low, high = self.shorter_side
        if not 32 <= low <= high <= self.longer_side:
            raise ValueError(f"shorter_side {self.shorter_side} must ascend from 32 to longer_side {self.longer_side}")
        if self.large_scale_jitter is not None and self.crop is None:
            raise ValueError("large_scale_jitter needs crop")
        if self.large_scale_jitter is not None and not 0 < self.large_scale_jitter[0] <= self.large_scale_jitter[1]:
            raise ValueError(f"large_scale_jitter {self.large_scale_jitter} must ascend from above 0")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop {self.crop} must have at least one pixel")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must be a probability, not {self.flip}")

    def build(self, pixel_mean: tuple[float, float, float]) -> v2.Compose:
        """Build the transform of a `tv_tensors.Image` and a `tv_tensors.Mask`; padding has the mean colour."""
        fill: dict[Any, Any] = {tv_tensors.Image: [round(mean) for mean in pixel_mean], tv_tensors.Mask: VOID}
        steps: list[v2.Transform] = [self._resize()]
        if self.crop is not None:
            steps.append(v2.RandomCrop(self.crop, pad_if_needed=True, fill=fill))
        steps.append(v2.RandomHorizontalFlip(self.flip))
        if self.color:
            steps.append(v2.RandomPhotometricDistort(p=0.5))
        return v2.Compose(steps)

    def _resize(self) -> v2.Transform:
        if self.large_scale_jitter is not None:
            assert self.crop is not None
            return _ScaleJitter(self.crop, self.large_scale_jitter)
        return _ResizeShorterSide(self.shorter_side, self.longer_side)


class _Resize(v2.Transform):
    """A resize to a random size, with rounded sizes and aligned segments.

    torchvision's own transforms round sizes down and sample masks with an offset of half a pixel to the image.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        size = params["size"]
        if isinstance(inpt, tv_tensors.Mask):
            # Segments fit into float32; nearest-exact does not support 16-bit integers.
            resized = F.interpolate(inpt.as_subclass(Tensor)[None, None].float(), size=size, mode="nearest-exact")
            return tv_tensors.Mask(resized[0, 0].to(inpt.dtype))
        return v2.functional.resize(inpt, list(size), InterpolationMode.BILINEAR, antialias=True)


class _ResizeShorterSide(_Resize):
    def __init__(self, shorter_side: tuple[int, int], longer_side: int) -> None:
        super().__init__()
        self._shorter_side, self._longer_side = shorter_side, longer_side

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        low, high = self._shorter_side
        side = int(torch.randint(low, high + 1, ()))
        return {"size": image_geometry(height, width, side, self._longer_side).resized}


class _ScaleJitter(_Resize):
    def __init__(self, crop: tuple[int, int], scales: tuple[float, float]) -> None:
        super().__init__()
        self._crop, self._scales = crop, scales

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        low, high = self._scales
        scale = min(self._crop[0] / height, self._crop[1] / width) * float(torch.empty(()).uniform_(low, high))
        return {"size": (max(1, round(height * scale)), max(1, round(width * scale)))}


def augment(transform: v2.Compose, image: Tensor, segments: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Transform an image and its segments; the result depends only on the inputs and the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image, segments = transform(tv_tensors.Image(image), tv_tensors.Mask(segments))
    return image.as_subclass(Tensor), segments.as_subclass(Tensor)
