# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What several commands take on their command lines."""

from __future__ import annotations


def positive(text: str) -> int:
    """For argparse: a whole number from 1.

    Raises:
        ValueError: it is none.
    """
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
