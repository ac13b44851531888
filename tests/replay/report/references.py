# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""References of a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The references, ids, headings and texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the references and the id of an element."""
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.references.append(value or "")
            elif name == "id":
                self.ids.append(value or "")

    handle_startendtag = handle_starttag

    @property
    def outside(self) -> list[str]:
        """Return references to anything other than the page itself."""
        return [one for one in self.references if not one.startswith(("data:", "#"))]

    @property
    def dangling(self) -> list[str]:
        """Return references to missing anchors of the page."""
        known = set(self.ids)
        return [one for one in self.references if one.startswith("#") and one[1:] not in known]
