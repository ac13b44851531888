# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Pages as HTML."""

from __future__ import annotations

import math
from pathlib import Path

import jinja2

from ciae_ros.replay.report.page import Cell, Page


def write_page(path: Path, page: Page) -> None:
    """Write the page; what cannot be written as UTF-8, as in the names of some files, becomes a question mark."""
    path.write_text(render(page), encoding="utf-8", errors="replace")


def render(page: Page) -> str:
    """The page as one HTML document that needs no other file."""
    # Everything is escaped: a bag may have any name.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ciae_ros.replay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sort_key"] = _sort_key
    return environment.get_template("page.html.j2").render(page=page)


def _sort_key(cell: Cell) -> str:
    """What the page's script sorts a numeric cell by; nothing where there is no value."""
    return "" if cell.value is None or math.isnan(cell.value) else f"{cell.value:.9g}"
