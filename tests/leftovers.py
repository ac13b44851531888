# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Remove remains of test runs, including killed ones: processes, and unused shared memory.

    python -m tests.leftovers           # remains of earlier runs of this checkout
    python -m tests.leftovers PID MARK  # wait for the process PID, then end all processes with the mark

Processes have a mark in their environment, which they inherit from the test run that has started them, regardless of
their sessions, process groups and adoptive parents.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

VARIABLE = "CIAE_ROS_TEST_RUN"
ROOT = Path(__file__).resolve().parents[1]
SHARED_MEMORY = Path("/dev/shm")
SEGMENTS = ("fastdds_*", "sem.fastdds_*", "fastrtps_*", "sem.fastrtps_*")
"""Files of Fast DDS; the second pair is that of Jazzy's version."""
ROUNDS = 100
"""Number of attempts, in case that new processes are started meanwhile."""
MIN_AGE = 60.0
"""Minimum age in seconds, because younger shared memory may belong to a process that is about to open it."""


def mark_of(process: int) -> str:
    """Return the mark of the children of a test process."""
    return f"{ROOT}:{process}"


def marked_processes(mark: str) -> list[int]:
    """Return the ids of the running processes with a mark."""
    wanted = f"\0{VARIABLE}={mark}\0".encode()
    return [process for process in _processes() if wanted in b"\0" + _read(process, "environ")]


def children_of(process: int) -> set[int]:
    """Return the ids of the running children of a process."""
    return {child for child in _processes() if _parent(child) == process}


def command_of(process: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    return _read(process, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def kill(processes: Iterable[int]) -> None:
    """Kill processes, which may have ended meanwhile."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """Kill all processes with a mark, and those that they start meanwhile."""
    for _ in range(ROUNDS):
        found = marked_processes(mark)
        if not found:
            return
        kill(found)
        time.sleep(0.05)


def wait_for_end(process: int) -> None:
    """Wait until a process has ended, which need not be a child of this one."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()


def kill_earlier_runs() -> list[int]:
    """Kill processes of ended runs of this checkout; returns the ids."""
    found = []
    prefix = f"{VARIABLE}={mark_of(0)}".removesuffix("0").encode()
    for process in _processes():
        marks = [entry for entry in _read(process, "environ").split(b"\0") if entry.startswith(prefix)]
        owners = [int(mark.removeprefix(prefix).split(b":")[0]) for mark in marks]
        if owners and not any(Path(f"/proc/{owner}").exists() for owner in owners):
            found.append(process)
    kill(found)
    return found


def remove_unowned_shared_memory() -> list[Path]:
    """Remove old files of Fast DDS that no process has mapped or open; returns them."""
    files = [path for pattern in SEGMENTS for path in SHARED_MEMORY.glob(pattern) if _is_ours_and_old(path)]
    if not files:
        return []
    used = _used_files()
    unowned = [path for path in files if str(path) not in used]
    for path in unowned:
        path.unlink(missing_ok=True)
    return unowned


def _used_files() -> set[str]:
    used = set()
    for process in _processes():
        for line in _read(process, "maps").decode(errors="replace").splitlines():
            used.add(line.partition("/")[1] + line.partition("/")[2])
        try:
            used |= {str(entry.readlink()) for entry in Path(f"/proc/{process}/fd").iterdir()}
        except OSError:
            continue
    return used


def _is_ours_and_old(path: Path) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid() and time.time() - status.st_mtime > MIN_AGE


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parent(process: int) -> int:
    # State and parent follow the name, which may contain any character.
    fields = _read(process, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def main(arguments: list[str]) -> None:
    """See above."""
    if arguments:
        process, mark = arguments
        wait_for_end(int(process))
        kill_marked(mark)
        return
    processes, files = kill_earlier_runs(), remove_unowned_shared_memory()
    if processes or files:
        print(f"removed leftovers: {len(processes)} processes, {len(files)} files of shared memory", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
