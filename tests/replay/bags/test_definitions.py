# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Bags are read with the definitions that the package of messages has."""

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
