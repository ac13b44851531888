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

"""`scripts/check_mutations.py` mutates lines that are there, and runs tests that are there."""

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
