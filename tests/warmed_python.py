# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Python programs in processes that have already imported PyTorch, which is most of the time of a start.

The processes are forked from a server, which is started for the first of them. They are children of the test process
like others: the server forks twice, and the test process adopts the orphans (see tests/process_cleanup.py). What
depends on the start of an interpreter or on its imports is tested with `subprocess.Popen`.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tests import process_cleanup

PRELOADED = ("torch", "ciae_ros.inference.predictor", "ciae_ros.model.ciae", "ciae_ros.tracking.tracker")
"""Modules that the server imports. None of them starts a thread, and none is of ROS: processes in which rclpy had been
imported before the fork sometimes crashed at their end."""
MAX_REQUEST = 1 << 17
"""Maximum length of a request in bytes."""


class Request(NamedTuple):
    """A program to run."""

    arguments: Sequence[str]
    """As for `python`: -m MODULE or -c CODE, and the arguments of the program."""
    folder: str
    environment: Mapping[str, str]


class WarmedPython(subprocess.Popen[str]):
    """A process like one of `subprocess.Popen([sys.executable, "-m", ...], text=True)`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program, by -m MODULE or -c CODE and its arguments; the options are those of Popen."""
        super().__init__([sys.executable, *arguments], text=True, stdout=stdout, stderr=stderr, cwd=cwd, env=env)

    def _execute_child(  # type: ignore[override]  # Of Popen, which has no public method for this.
        self,
        args: Sequence[str],
        executable: object,
        preexec_fn: object,
        close_fds: object,
        pass_fds: object,
        cwd: str | None,
        env: Mapping[str, str] | None,
        startupinfo: object,
        creationflags: object,
        shell: object,
        *pipes_and_others: Any,
    ) -> None:
        pipes = pipes_and_others[:6]
        child_ends = pipes[0], pipes[3], pipes[5]
        files = [standard if end == -1 else end for standard, end in enumerate(child_ends)]
        self.pid = _server().start(Request(args[1:], str(cwd or Path.cwd()), dict(env or os.environ)), files)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class _Server:
    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.warmed_python", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        process_cleanup.SHARED_PROCESSES.add(process.pid)

    def start(self, request: Request, files: Sequence[int]) -> int:
        """Start a program with its standard input, output and error; returns its process id."""
        socket.send_fds(self._connection, [json.dumps(request).encode()], files)
        answer = self._connection.recv(MAX_REQUEST)
        assert answer, "the server of warmed processes has ended"
        return int(answer)


@cache
def _server() -> _Server:
    return _Server()


def _serve(connection: socket.socket) -> Request | None:
    """Fork processes until the test process ends; returns the request in each of them, and None in the server."""
    while True:
        content, files, *_ = socket.recv_fds(connection, MAX_REQUEST, 3)
        if not content:
            return None
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild:
                os.write(writer, str(grandchild).encode())
                os._exit(0)
            for file in (connection.detach(), reader, writer):
                os.close(file)
            for standard, file in enumerate(files):
                os.dup2(file, standard)
                os.close(file)
            return Request(*json.loads(content))
        # From now on the process is a child of the test process, which can wait for it.
        os.waitpid(child, 0)
        connection.send(os.read(reader, MAX_REQUEST))
        for file in (reader, writer, *files):
            os.close(file)


def _run(request: Request) -> None:
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    option, program, *arguments = request.arguments
    sys.path[0] = request.folder
    sys.argv = [program, *arguments]
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    assert option == "-c", option
    sys.argv[0] = option
    sys.modules["__main__"] = module = ModuleType("__main__")
    exec(compile(program, "<string>", "exec"), module.__dict__)


def main() -> None:
    """Run the server, and the program in each process that it forks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for pytest.
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # Otherwise the end of each process would search all that was imported for garbage.
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        _run(request)


if __name__ == "__main__":
    main()
