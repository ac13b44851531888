# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Matplotlib figures as SVG elements of a page, with the page's fonts and light and dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

# Matplotlib does not support CSS variables. These unusual colours stand for them until the SVG is written.
INK, SOFT, GRID, SURFACE = "#010101", "#010102", "#010103", "#010104"
BLUE, ORANGE, GREEN, RED, VIOLET, TEAL = "#010111", "#010112", "#010113", "#010114", "#010115", "#010116"
SERIES = (BLUE, ORANGE, GREEN, VIOLET, RED, TEAL)
_VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    GRID: "grid",
    SURFACE: "surface",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    RED: "red",
    VIOLET: "violet",
    TEAL: "teal",
}
_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # Names may contain dollar signs.
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": SOFT,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "xtick.labelcolor": SOFT,
    "ytick.color": GRID,
    "ytick.labelcolor": SOFT,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "ciae_ros",
}


def draw_svg(
    name: str,
    draw: Callable[[Figure], None],
    size: tuple[float, float],
    description: str,
    titles: Mapping[str, str] | None = None,
) -> Markup:
    """Draw a figure and return it as an element of a page.

    Args:
        name: prefix of the figure's ids, unique in the page.
        draw: draws into an empty figure.
        size: width and height in inches.
        description: description for screen readers.
        titles: tooltips of the marks that link to an anchor, by anchor.
    """
    # Without pyplot, which would look for a display.
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True)
    return Markup(_embed(buffer.getvalue(), name, description, titles or {}))


def _embed(text: str, name: str, description: str, titles: Mapping[str, str]) -> str:
    """Convert Matplotlib's SVG file to an element of a page."""
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', text)
    assert view_box
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = _unique_ids(body.replace("xlink:href", "href"), name)
    body = re.sub(r' style="[^"]*"', _page_style, _links(_short_coordinates(body), titles))
    body = re.sub(r"\s*\n\s*", " ", body).strip()
    return f'<svg role="img" aria-label="{escape(description)}" {view_box[0]}>{body}'


def _page_style(match: re.Match[str]) -> str:
    """Replace Matplotlib's fonts and colours by those of the page."""
    style = re.sub(r"font-family: [^;\"]*;? ?", "", match[0])
    for color, variable in _VARIABLES.items():
        style = style.replace(color, f"var(--{variable})")
    return style


def _unique_ids(body: str, name: str) -> str:
    """Prefix the ids that are used with the figure's name, as all figures use the same ids, and remove the others."""
    used = set(re.findall(r'url\(#([^)"]+)\)', body)) | set(re.findall(r'<use [^>]*?href="#([^"]+)"', body))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    body = re.sub(r' id="([^"]*)"', renamed, body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    return re.sub(r'(<use [^>]*?href="#)', rf"\g<1>{name}-", body)


def _short_coordinates(body: str) -> str:
    """Shorten coordinates to hundredths of a point."""

    def shortened(match: re.Match[str]) -> str:
        return re.sub(r"(\.\d\d)\d+", r"\1", match[0])

    return re.sub(r' (?:d|x|y|width|height)="[^"]*"', shortened, body)


def _links(body: str, titles: Mapping[str, str]) -> str:
    """Exclude marks from the tab order: there are hundreds, and the frame table has the same links."""

    def linked(match: re.Match[str]) -> str:
        title = titles.get(match[1])
        inner = f"<title>{escape(title)}</title>" if title else ""
        return f'<a href="#{match[1]}" tabindex="-1">{inner}'

    return re.sub(r'<a href="#([^"]*)"[^>]*>', linked, body)
