# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Test runs that hang, fail or are killed leave no process behind, and report where they hung."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import leftovers

ROOT = Path(__file__).parents[1]
LIMIT = 60.0
CHILDREN = """
import os, signal, subprocess, sys, threading, time

def start():
    # A child, one in another session, and one whose parent has ended.
    waiting = "import time; time.sleep(1000)"
    command = f"{sys.executable} -c '{waiting}' & exec {sys.executable} -c '{waiting}'"
    children = [
        subprocess.Popen(["bash", "-c", command]),
        subprocess.Popen([sys.executable, "-c", waiting], start_new_session=True),
    ]
    subprocess.run(["bash", "-c", f"{sys.executable} -c '{waiting}' & echo orphan"], check=True)
    time.sleep(1)
"""
TESTS = {
    "sleeps": "def test_it():\n    start()\n    threading.Event().wait()\n",
    "cannot be interrupted": "def test_it():\n    start()\n"
    "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n    threading.Event().wait()\n",
    "fails": "def test_it():\n    start()\n    assert False\n",
}


def start_pytest(folder: Path, test: str, *options: str) -> subprocess.Popen[str]:
    (folder / "test_inner.py").write_text(CHILDREN + TESTS[test])
    environment = {name: value for name, value in os.environ.items() if name != leftovers.VARIABLE}
    plugin = "-c", os.devnull, "-p", "tests.process_cleanup", "-p", "no:cacheprovider"
    command = [sys.executable, "-m", "pytest", *plugin, *options, str(folder / "test_inner.py")]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def left_by(process: subprocess.Popen[str]) -> list[str]:
    return [leftovers.command_of(each) for each in leftovers.marked_processes(leftovers.mark_of(process.pid))]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.05)


def test_a_hanging_test_is_ended_with_its_stack_and_its_processes(tmp_path: Path) -> None:
    process = start_pytest(tmp_path, "sleeps", "--timeout", "4")
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, output
    assert "Timeout (>4.0s)" in output
    assert "threading.Event().wait()" in output
    wait_until(lambda: not left_by(process))


def test_a_test_that_cannot_be_interrupted_ends_its_process_with_its_stack(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests import process_cleanup\nprocess_cleanup.GRACE = 2.0\n")
    process = start_pytest(tmp_path, "cannot be interrupted", "--timeout", "3", "-o", "timeout=3")
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, output
    assert "test_inner.py" in output and "in test_it" in output
    wait_until(lambda: not left_by(process))


def test_a_test_that_fails_leaves_no_process(tmp_path: Path) -> None:
    process = start_pytest(tmp_path, "fails")
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, output
    assert "has left processes" in output
    wait_until(lambda: not left_by(process))


def test_a_run_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    process = start_pytest(tmp_path, "sleeps")
    wait_until(lambda: len(left_by(process)) >= 4)
    process.kill()
    process.communicate()
    wait_until(lambda: not left_by(process))


def test_leftovers_of_earlier_runs_are_ended_and_those_of_running_ones_are_not() -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    waiting = [sys.executable, "-c", "import time; time.sleep(1000)"]
    of_an_earlier_run = subprocess.Popen(
        waiting, env=os.environ | {leftovers.VARIABLE: leftovers.mark_of(int(ended.stdout))}
    )
    of_this_run = subprocess.Popen(waiting)
    of_another_checkout = subprocess.Popen(waiting, env=os.environ | {leftovers.VARIABLE: f"/elsewhere:{ended.stdout}"})
    try:
        wait_until(lambda: all(map(leftovers.command_of, (of_an_earlier_run.pid, of_another_checkout.pid))))
        assert of_an_earlier_run.pid in leftovers.kill_earlier_runs()
        assert of_an_earlier_run.wait(LIMIT) == -signal.SIGKILL
        assert of_this_run.poll() is None
        assert of_another_checkout.poll() is None
    finally:
        for process in (of_an_earlier_run, of_this_run, of_another_checkout):
            process.kill()
            process.wait()


def test_only_unused_shared_memory_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", tmp_path)
    old = time.time() - 2 * leftovers.MIN_AGE
    names = "fastdds_unowned", "sem.fastdds_unowned", "fastrtps_unowned", "fastdds_open", "fastdds_mapped", "other"
    for name in names:
        (tmp_path / name).write_bytes(bytes(4096))
        os.utime(tmp_path / name, (old, old))
    (tmp_path / "fastdds_new").write_bytes(bytes(4096))
    using = f"""
import mmap, os, sys
open_file = open({str(tmp_path / "fastdds_open")!r})
descriptor = os.open({str(tmp_path / "fastdds_mapped")!r}, os.O_RDWR)
mapped = mmap.mmap(descriptor, 4096)
os.close(descriptor)
print("ready", flush=True)
sys.stdin.read()
"""
    user = subprocess.Popen([sys.executable, "-c", using], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None and user.stdout.readline()
        removed = {path.name for path in leftovers.remove_unowned_shared_memory()}
    finally:
        user.kill()
        user.communicate()
    assert removed == {"fastdds_unowned", "sem.fastdds_unowned", "fastrtps_unowned"}
    assert {path.name for path in tmp_path.iterdir()} == {"fastdds_open", "fastdds_mapped", "other", "fastdds_new"}
