# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Rendering of pages as HTML."""

from __future__ import annotations

import math
from pathlib import Path

import jinja2

from ciae_ros.replay.report.page import Cell, Page


def write_page(path: Path, page: Page) -> None:
    """Write the page; characters that cannot be encoded, as in some file names, become question marks."""
    path.write_text(render(page), encoding="utf-8", errors="replace")


def render(page: Page) -> str:
    """Render the page as a self-contained HTML document."""
    # Everything is escaped because bags may have arbitrary names.
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
    """Return the sort key of a numeric cell for the page's script; empty if it has no value."""
    return "" if cell.value is None or math.isnan(cell.value) else f"{cell.value:.9g}"
