# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`panoptic_node` with a network that fails on request, as encoded in the upper left pixel of an image."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.inference import Predictor
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.node.cli.panoptic_node import main
from ciae_ros.node.model_loading import load_predictor
from ciae_ros.node.parameters.definitions import NodeParameters

OUT_OF_MEMORY, EXCEPTION, LOST_DEVICE, HOST_OUT_OF_MEMORY, NOT_FINITE, HANG = 201, 202, 203, 204, 205, 206

BROKEN_HEIGHT = 62
"""Height of an image that causes a fault outside of the network."""


def load_faulty_predictor(parameters: NodeParameters) -> Predictor:
    """Load a predictor that fails on request."""
    predictor = load_predictor(parameters)
    prepare, healthy, check = predictor.preprocess, predictor.compute, predictor.check_device
    sizes = predictor.geometry
    codes: dict[int, list[int]] = {}
    faults: dict[int, Callable[[], Exception]] = {
        OUT_OF_MEMORY: lambda: torch.OutOfMemoryError("CUDA out of memory (injected)"),
        EXCEPTION: lambda: RuntimeError("no such operator (injected)"),
        LOST_DEVICE: lambda: RuntimeError("CUDA error: an illegal memory access was encountered (injected)"),
        HOST_OUT_OF_MEMORY: lambda: MemoryError("injected"),
    }
    is_lost = False

    def preprocess(images: Sequence[tuple[Tensor, ChannelOrder]], geometries: Sequence[ImageGeometry]) -> Tensor:
        batch = prepare(images, geometries)
        codes[id(batch)] = [int(pixels[0, 0, 0]) for pixels, _ in images]
        return batch

    def compute(batch: Tensor, *arguments: Any) -> list[FusedImage]:
        nonlocal is_lost
        for code in codes.pop(id(batch)):
            is_lost = is_lost or code == LOST_DEVICE
            if code == HANG:
                threading.Event().wait()
            if code in faults:
                raise faults[code]()
            if code == NOT_FINITE:
                batch = torch.full_like(batch, torch.nan)
        return healthy(batch, *arguments)

    def check_device() -> None:
        # After such an error all further calls on the context fail.
        if is_lost:
            raise faults[LOST_DEVICE]()
        check()

    def geometry(height: int, width: int) -> ImageGeometry:
        if height == BROKEN_HEIGHT:
            raise KeyError("a mistake (injected)")
        return sizes(height, width)

    predictor.preprocess, predictor.compute = preprocess, compute  # type: ignore[method-assign]
    predictor.check_device, predictor.geometry = check_device, geometry  # type: ignore[method-assign]
    return predictor


if __name__ == "__main__":
    sys.exit(main(load=load_faulty_predictor))
