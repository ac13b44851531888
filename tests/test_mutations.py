# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The lines and tests of `scripts/check_mutations.py` exist."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTATIONS = runpy.run_path(str(ROOT / "scripts" / "check_mutations.py"))["MUTATIONS"]


def test_every_line_to_mutate_is_in_its_file_once() -> None:
    for each in MUTATIONS:
        text = (ROOT / each.file).read_text()
        assert text.count(each.original) == 1, f"{each.file}: {each.original}"
        assert text.replace(each.original, each.mutated) != text


def test_the_tests_of_every_line_are_there() -> None:
    for each in MUTATIONS:
        assert each.tests.split()
        assert all((ROOT / path).exists() for path in each.tests.split()), each.tests
