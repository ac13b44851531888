# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Bags are read with the definitions of the message package."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.typesys import get_types_from_msg

from ciae_ros.replay.bags.definitions import CIAE_MSGS

MESSAGES = Path(__file__).parents[3] / "ciae_msgs" / "msg"


@pytest.mark.parametrize("path", sorted(MESSAGES.glob("*.msg")), ids=lambda path: path.stem)
def test_definitions_are_those_of_the_package(path: Path) -> None:
    name = f"ciae_msgs/msg/{path.stem}"
    assert get_types_from_msg(CIAE_MSGS[name], name) == get_types_from_msg(path.read_text(), name)
