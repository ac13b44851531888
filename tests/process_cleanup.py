# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: every test has a timeout, and none leaves a process behind, however it or pytest ends.

A test that takes longer than its timeout fails with the stacks of all threads (pytest-timeout). If it cannot even be
interrupted, because the interpreter is blocked, its process is ended with the stacks a minute later.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TextIO

import pytest

from tests.leftovers import ROOT, VARIABLE, children_of, command_of, kill, mark_of

GRACE = 60.0
"""Seconds after its timeout within which a test must be interrupted."""
END_TIMEOUT = 2.0
"""Seconds within which processes ended by a test must have exited."""
SHARED = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "torch/_inductor/compile_worker")
"""Parts of the command lines of processes that Python and PyTorch keep until the end of pytest."""
SHARED_PROCESSES: set[int] = set()
"""Ids of other processes that are kept until then."""
PR_SET_CHILD_SUBREAPER = 36
STDERR = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Mark all started processes, adopt their children, and start a watcher that ends the remaining ones."""
    os.environ[VARIABLE] = mark_of(os.getpid())
    # Without the mark, and in its own session, so that it outlives this process in any case.
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-m", "tests.leftovers", str(os.getpid()), os.environ[VARIABLE]]
    # The watcher is not waited for, because it waits for this process.
    subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    config.stash[STDERR] = os.fdopen(os.dup(2), "w")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End the process if a test cannot be interrupted at its timeout."""
    marker = item.get_closest_marker("timeout")
    default = item.config.getini("timeout") if item.config.pluginmanager.hasplugin("timeout") else 0
    timeout = float(marker.args[0] if marker else default or 0)
    if timeout:
        faulthandler.dump_traceback_later(timeout + GRACE, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _no_process_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the processes that the test has left, but not those of fixtures with a wider scope."""
    before = children_of(os.getpid())
    yield
    end = time.monotonic() + END_TIMEOUT
    while (left := _left(before)) and time.monotonic() < end:
        time.sleep(0.02)
    if left:
        commands = "; ".join(command_of(process) for process in left)
        kill(_with_descendants(left))
        warnings.warn(f"{request.node.nodeid} has left processes: {commands}", stacklevel=1)


def _left(before: set[int]) -> list[int]:
    """Return children that are new and neither dead nor shared."""
    new = children_of(os.getpid()) - before - SHARED_PROCESSES
    return [process for process in new if (command := command_of(process)) and not any(s in command for s in SHARED)]


def _with_descendants(processes: list[int]) -> list[int]:
    found = list(processes)
    for process in found:  # It grows meanwhile.
        found += children_of(process)
    return found
