# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The format in which a network takes its images: size, padding and normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ciae_ros.inference.geometry import ImageGeometry, image_geometry, round_up
from ciae_ros.model.config import ModelConfig
from ciae_ros.model.strides import SIZE_DIVISOR


@dataclass(frozen=True)
class InputFormat:
    """Format of a network's input; lengths are in pixels."""

    input_size: int
    """Length to which the shorter side of an image is resized."""
    max_input_size: int
    """Maximum longer side; the aspect ratio is preserved."""
    pixel_mean: tuple[float, float, float]
    """Mean of R, G and B in 0..255."""
    pixel_std: tuple[float, float, float]
    """Standard deviation of R, G and B in 0..255."""
    size_divisor: int = SIZE_DIVISOR
    """The resized image is padded to multiples of this length on the right and at the bottom."""
    is_square: bool = False
    """The resized image is padded to a square of `max_input_size` instead."""
    stretched_size: tuple[int, int] | None = None
    """(height, width) to which every image is resized, whatever its aspect ratio, instead of all the above."""

    @classmethod
    def of_model(cls, config: ModelConfig) -> InputFormat:
        """Return the format of a CIAE network."""
        return cls(config.input_size, config.max_input_size, config.pixel_mean, config.pixel_std)

    def geometry(self, height: int, width: int) -> ImageGeometry:
        """Return the geometry of an image.

        Raises:
            ValueError: the image has no pixels.
        """
        fitting = image_geometry(height, width, self.input_size, self.max_input_size)
        if self.stretched_size:
            return ImageGeometry(fitting.original, self.stretched_size, self._padded(self.stretched_size))
        return replace(fitting, padded=self._padded(fitting.resized))

    def at_input_size(self, input_size: int) -> InputFormat:
        """Return the format for another `input_size`, with a proportional `max_input_size` and preserved aspect ratio.

        Raises:
            ValueError: a square cannot have this size.
        """
        if self.is_square and input_size % self.size_divisor:
            lower = max(1, input_size // self.size_divisor) * self.size_divisor
            raise ValueError(f"input_size must be a multiple of {self.size_divisor} for this network: use {lower}")
        longest = round(self.max_input_size * input_size / self.input_size)
        return replace(self, input_size=input_size, max_input_size=max(input_size, longest), stretched_size=None)

    def _padded(self, resized: tuple[int, int]) -> tuple[int, int]:
        if self.is_square:
            return self.max_input_size, self.max_input_size
        return round_up(resized[0], self.size_divisor), round_up(resized[1], self.size_divisor)
