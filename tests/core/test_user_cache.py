# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The cache of files that are slow to make: shared by processes, complete or absent, and bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ciae_ros.core.user_cache import UNUSED_DAYS, cache_folder, cached

TIMEOUT = 60

WRITER = """
import sys, time
from pathlib import Path
from ciae_ros.core.user_cache import cached
entry, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def write(path):
    with log.open("a") as file:
        file.write("writes\\n")
    path.mkdir()
    (path / "first").write_text("complete")
    time.sleep(seconds)
    (path / "second").write_text("complete")
found = cached(entry, write)
print((found / "first").read_text(), (found / "second").read_text())
"""


def fail_if_called(path: Path) -> None:
    raise AssertionError(f"{path} must not be written")


def start_writer(entry: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(entry), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("models") == tmp_path / "ciae_ros" / "models"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder("models") == tmp_path / "home" / ".cache" / "ciae_ros" / "models"


def test_of_two_processes_one_writes_and_the_other_waits(tmp_path: Path) -> None:
    entry, log = tmp_path / "folder" / "entry", tmp_path / "log"
    writers = [start_writer(entry, log, 0.5) for _ in range(2)]
    outputs = [writer.communicate(timeout=TIMEOUT)[0] for writer in writers]
    assert outputs == ["complete complete\n"] * 2
    assert log.read_text() == "writes\n"


def test_a_killed_process_leaves_no_entry(tmp_path: Path) -> None:
    entry, log = tmp_path / "folder" / "entry", tmp_path / "log"
    killed = start_writer(entry, log, TIMEOUT)
    wait_for(entry.parent / ".entry.unfinished" / "entry" / "first")
    waiting = start_writer(entry, log, 0.0)
    time.sleep(0.2)
    assert not entry.exists()
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(TIMEOUT) == -signal.SIGKILL
    # The process that waits for the killed one takes over.
    assert waiting.communicate(timeout=TIMEOUT)[0] == "complete complete\n"
    assert log.read_text() == "writes\n" * 2
    assert not (entry.parent / ".entry.unfinished").exists()


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    entry = tmp_path / "folder" / "entry"

    def fail(path: Path) -> None:
        path.write_text("incomplete")
        raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        cached(entry, fail)
    assert [path.name for path in entry.parent.iterdir()] == [".entry.lock"]
    assert cached(entry, lambda path: path.write_text("complete") and None).read_text() == "complete"


def test_only_unused_entries_are_removed(tmp_path: Path) -> None:
    entries = {name: tmp_path / name for name in ("used", "unused", "new")}
    for name in ("used", "unused"):
        cached(entries[name], lambda path: path.mkdir())
    for name in ("used", "unused"):
        old = time.time() - (UNUSED_DAYS + 1) * 24 * 3600
        os.utime(entries[name], (old, old))
    cached(entries["used"], fail_if_called)
    cached(entries["new"], lambda path: path.write_text("new") and None)
    assert [name for name, path in entries.items() if path.exists()] == ["used", "new"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        cached(tmp_path / "folder" / "entry", fail_if_called)
