# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The tests of the Triton kernels without a CUDA device, in Triton's interpreter and a separate process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    paths = [
        "tests/inference/fusion/test_triton_assignment.py",
        "tests/inference/fusion/test_triton_mask_assignment.py",
        "tests/inference/proposals/test_triton_nms.py",
        "tests/inference/test_self_test.py",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10000:] + run.stderr[-2000:]
    assert re.search(r"\d\d passed", run.stdout), run.stdout[-2000:]
