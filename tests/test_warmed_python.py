# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Warmed processes behave like those of `subprocess.Popen`, and start with PyTorch imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warmed_python import WarmedPython

TIMEOUT = 60


def test_output_arguments_folder_environment_and_exit_code(tmp_path: Path) -> None:
    program = """
import os, sys
print(sys.argv, os.getcwd(), os.environ["NAME"], "torch" in sys.modules, __name__)
print("an error", file=sys.stderr)
sys.exit(7)
"""
    environment = {"NAME": "value"}
    process = WarmedPython(
        ["-c", program, "--option"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = process.communicate(timeout=TIMEOUT)
    assert output == f"['-c', '--option'] {tmp_path} value True __main__\n"
    assert (errors, process.returncode) == ("an error\n", 7)


def test_modules_and_exceptions(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("raise ValueError(__name__)")
    process = WarmedPython(["-m", "program"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert output.splitlines()[-1] == "ValueError: __main__"
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_end_the_process_and_not_the_server(number: signal.Signals) -> None:
    program = "import time; print(1, flush=True); time.sleep(1000)"
    process = WarmedPython(["-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    assert process.poll() is None
    assert f"PPid:\t{os.getpid()}\n" in Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(number)
    assert process.wait(TIMEOUT) == -number
    after = WarmedPython(["-c", "print(2)"], stdout=subprocess.PIPE)
    assert after.communicate(timeout=TIMEOUT)[0] == "2\n"
    assert sys.executable == after.args[0]
