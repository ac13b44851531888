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

"""Where a step's time goes, as the command prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.profile_step import main


def test_parts_are_printed_with_shares_of_the_step(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "--steps", "2"]) == 0
    printed = capsys.readouterr().out
    shares = [float(share) for share in re.findall(r"([\d.]+)%", printed)]
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert re.search(r"one core decodes and augments [\d.]+ images/s, this device trains [\d.]+ images/s", printed)


def test_what_is_wrong_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "data.train=/no/such.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("profile_step: ")
