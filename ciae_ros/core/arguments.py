# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Arguments and argument types that several command lines share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping


def positive_int(text: str) -> int:
    """Parse an integer of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def positive_float(text: str) -> float:
    """Parse a finite number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def image_size(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH in pixels, for argparse."""
    height, _, width = text.partition("x")
    try:
        return positive_int(height), positive_int(width)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 512x928") from None


def add_settings(parser: argparse.ArgumentParser, descriptions: Mapping[str, str], defaults: object) -> None:
    """Add an option for each setting, which overrides the value that the model has.

    Args:
        parser: the parser.
        descriptions: descriptions of the settings by name.
        defaults: an object with these settings; their types are those of the options.
    """
    for name, description in descriptions.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(getattr(defaults, name)),
            metavar="VALUE",
            help=f"{description} (default: as in the model)",
        )
