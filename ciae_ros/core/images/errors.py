# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The error of images that cannot be decoded."""

from __future__ import annotations


class ImageError(ValueError):
    """The bytes are not a whole image; the one-line message states the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        """Category of the fault, for counting: "undecodable" or "too large"."""


class UnsupportedJpegError(ImageError):
    """libjpeg-turbo's interface cannot decode such a JPEG image; other decoders may."""

    def __init__(self, reason: str) -> None:
        super().__init__("undecodable", reason)


def check_number_of_pixels(height: int, width: int, max_pixels: int) -> None:
    """Raise ImageError if an image has more pixels than allowed, before memory for them is reserved."""
    if height * width > max_pixels:
        raise ImageError("too large", f"an image of {width} x {height} pixels; at most {max_pixels} are allowed")
