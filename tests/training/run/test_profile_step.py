# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

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
