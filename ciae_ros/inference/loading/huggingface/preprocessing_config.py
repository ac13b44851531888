# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The input format of a model from its preprocessor_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.reference import ModelReference
from ciae_ros.model.config import IMAGENET_MEAN, IMAGENET_STD

MAX_ASPECT_RATIO = 1333 / 800
"""Ratio of the longest and the shorter side where a model states only the latter."""


def read_input_format(
    preprocessing: Mapping[str, Any],
    default_size: tuple[int, int],
    size_divisor: int,
    is_square: bool,
    reference: ModelReference,
) -> InputFormat:
    """Read the input format of a model.

    Args:
        preprocessing: content of preprocessor_config.json.
        default_size: shorter and longest side where the file does not state them.
        size_divisor: sides of the network's input are multiples of this length.
        is_square: whether the network's input is a square.
        reference: the model.

    Raises:
        CheckpointError: the file requests a preprocessing that is not supported.
    """
    if preprocessing.get("do_split_image"):
        raise CheckpointError(
            f"{reference} is a semantic model, which divides images into parts: choose a panoptic one"
        )
    try:
        shorter, longest, stretched = _sizes(preprocessing, default_size)
        mean, std = _normalization(preprocessing)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{reference} has a preprocessor_config.json that is not supported ({error!r}): compare its size, "
            "image_mean and image_std with those of another model of its kind"
        ) from None
    if is_square:
        shorter, stretched = longest, None
        if longest % size_divisor:
            raise CheckpointError(
                f"{reference} takes images of {longest} pixels, which is no multiple of {size_divisor}"
            )
    return InputFormat(shorter, longest, mean, std, size_divisor, is_square, stretched)


def _sizes(preprocessing: Mapping[str, Any], default: tuple[int, int]) -> tuple[int, int, tuple[int, int] | None]:
    """Return shorter side, longest side, and (height, width) if images are stretched to it."""
    size = preprocessing.get("size") or {"shortest_edge": default[0], "longest_edge": default[1]}
    if isinstance(size, int):
        size = {"shortest_edge": size, "longest_edge": preprocessing.get("max_size")}
    if "height" in size:
        stretched = int(size["height"]), int(size["width"])
        return min(stretched), max(min(stretched), round(MAX_ASPECT_RATIO * min(stretched))), stretched
    shorter = int(size["shortest_edge"])
    longest = size.get("longest_edge") or preprocessing.get("max_size") or round(MAX_ASPECT_RATIO * shorter)
    return shorter, max(shorter, int(longest)), None


def _normalization(
    preprocessing: Mapping[str, Any],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of R, G and B in 0..255."""
    factor = preprocessing.get("rescale_factor", 1 / 255) if preprocessing.get("do_rescale", True) else 1.0
    if not preprocessing.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1 / factor,) * 3
    if "image_mean" not in preprocessing and "image_std" not in preprocessing:
        return IMAGENET_MEAN, IMAGENET_STD
    mean, std = (tuple(float(value) / factor for value in preprocessing[key]) for key in ("image_mean", "image_std"))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError("image_mean and image_std must have 3 values, and the latter be positive")
    return mean, std
