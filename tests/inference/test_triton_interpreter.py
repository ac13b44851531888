"""The tests of the Triton kernels without a CUDA device: in Triton's interpreter, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["test_triton_assignment", "test_triton_nms"])
def test_kernels_in_the_interpreter(module: str) -> None:
    pytest.importorskip("triton")
    path = f"tests/inference/{module}.py"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10000:] + run.stderr[-2000:]
    assert re.search(r"\d\d passed", run.stdout), run.stdout[-2000:]
