# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Child processes end with their parents, and do not change the environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("domain_coordinator", reason="needs ROS 2")
from ciae_ros.core.processes import environment_of_this_process
from tests.leftovers import command_of

PARENT = """
import os, sys, time
from ciae_ros.core.processes import start_module
child = start_module("sleeper", {}, dict(os.environ), capture=True)
assert child.stdout.readline() == "ready\\n"
print(child.pid, flush=True)
time.sleep(1000)
"""
SLEEPER = """
import time
print("ready", flush=True)
time.sleep(1000)
"""


def test_a_module_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 60
    while command_of(child):
        assert time.monotonic() < end, f"process {child} is still running"
        time.sleep(0.05)


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    before = dict(os.environ)
    with environment_of_this_process({"KEPT": "meanwhile", "NEW": "1"}):
        assert (os.environ["KEPT"], os.environ["NEW"]) == ("meanwhile", "1")
    assert dict(os.environ) == before
