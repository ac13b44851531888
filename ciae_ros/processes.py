# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Child processes that talk over a ROS domain of their own, on this machine only."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import domain_coordinator

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


@contextmanager
def isolated_ros_environment() -> Iterator[dict[str, str]]:
    """Environment variables of a domain that nobody else on this machine uses while the context lasts."""
    with domain_coordinator.domain_id() as domain:
        yield os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def environment_of_this_process(environment: Mapping[str, str]) -> Iterator[None]:
    """Have `os.environ` hold these variables, too, while the context lasts, and then what it held before."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def start_module(
    module: str,
    parameters: Mapping[str, object],
    environment: dict[str, str],
    capture: bool = False,
    params_file: Path | None = None,
) -> subprocess.Popen[str]:
    """Start `python -m MODULE` with ROS parameters; it is sent SIGTERM when the calling thread or its process ends.

    Args:
        module: has a node.
        parameters: come before those of the file.
        environment: of the process.
        capture: have its standard output in a pipe.
        params_file: further parameters (YAML).
    """
    settings = [] if params_file is None else ["--params-file", str(params_file)]
    settings += [argument for name, value in parameters.items() for argument in ("-p", f"{name}:={_yaml(value)}")]
    command = [sys.executable, "-m", module, "--ros-args", *settings]
    output = subprocess.PIPE if capture else None
    # Nothing but a system call happens between fork and exec, which other threads cannot hold up.
    return subprocess.Popen(
        command,
        env=environment,
        stdout=output,
        text=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509
    )


def stop(process: subprocess.Popen[str], timeout: float = 15.0) -> int:
    """Interrupt a process as Ctrl-C would, kill it if it does not end; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _end_with_parent() -> None:
    """Called in the child: have the kernel terminate it when its parent ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    # ROS reads parameters as YAML: quotes keep a path that looks like a number a string.
    return f"'{value}'" if isinstance(value, str) else str(value)
