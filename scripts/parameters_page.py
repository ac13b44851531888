#!/usr/bin/env python3
# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Prints docs/parameters.md, which is made from the node's declarations."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from ciae_ros.node.parameters import NAMES, NodeParameters

HEAD = """# Parameters of `panoptic_node`

Made by `python scripts/parameters_page.py > docs/parameters.md` from the declarations in `ciae_ros/node/parameters.py`;
a test compares. [config/panoptic.yaml](../config/panoptic.yaml) is a file with the same defaults to copy from, and
`ros2 param describe /panoptic_node NAME` says the same of a running node.

Those with a (*) may be changed at any time, and count from the next frame on; the others only while the node is
unconfigured. A value of another type or range, and a name that is not in the table, end the node at start with one line
that says so.

| parameter | default | values | |
|---|---|---|---|
"""
TYPES = {bool: "true, false", int: "integer", float: "number", str: "text", tuple: "texts"}


def page() -> str:
    """The whole page."""
    by_field = {field: name for name, field in NAMES.items()}
    return HEAD + "".join(_row(by_field[item.name], item) for item in fields(NodeParameters))


def _row(name: str, item: Any) -> str:
    mark = " (*)" if item.metadata["changeable"] else ""
    return f"| `{name}`{mark} | `{_shown(item.default)}` | {_values(item)} | {item.metadata['text']} |\n"


def _shown(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(repr, value))}]" if isinstance(value, tuple) else str(value)


def _values(item: Any) -> str:
    if item.metadata["choices"]:
        return ", ".join(f"`{choice}`" for choice in item.metadata["choices"])
    if item.metadata["limits"]:
        low, high = item.metadata["limits"]
        return f"{low:g} to {high:g}" if isinstance(low, float) else f"{low} to {high}"
    return TYPES[type(item.default)]


if __name__ == "__main__":
    sys.stdout.write(page())
