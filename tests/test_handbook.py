# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The documents are consistent: links are valid, and generated pages agree with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("ciae_ros/weights/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page: Path) -> list[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_parameters_page_is_made_from_the_declarations() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    command = [sys.executable, "scripts/parameters_page.py"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made == (ROOT / "docs" / "parameters.md").read_text(), (
        "run: python scripts/parameters_page.py > docs/parameters.md"
    )


def test_messages_in_troubleshooting_exist_in_the_code() -> None:
    _, _, table = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## It does not start")
    lines = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(lines) >= 7
    sources = " ".join(path.read_text() for path in (ROOT / "ciae_ros").rglob("*.py"))
    for line in lines:
        for words in re.split(r"\.\.\.| X|'cuda'|fp16", line):
            assert words.strip(" :;") in sources, f"no line of the code says {words!r}"
