# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of JSON and YAML files."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """Read a file as UTF-8 in every locale, with or without a byte order mark.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8; a ValueError.
    """
    return path.read_text(encoding="utf-8-sig")
