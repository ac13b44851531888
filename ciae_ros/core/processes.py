# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Child processes in an isolated ROS domain that is restricted to this machine."""

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
    """Yield environment variables of a ROS domain that is reserved while the context lasts."""
    with domain_coordinator.domain_id() as domain:
        yield os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def environment_of_this_process(environment: Mapping[str, str]) -> Iterator[None]:
    """Add these variables to `os.environ` while the context lasts, and restore it afterwards."""
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
    log_level: str = "info",
) -> subprocess.Popen[str]:
    """Start `python -m MODULE` with ROS parameters; it receives SIGTERM when the calling thread or its process ends.

    Args:
        module: module that runs a node.
        parameters: parameters of the node; they take precedence over those of the file.
        environment: environment of the process.
        capture: connect its standard output to a pipe.
        params_file: parameter file (YAML).
        log_level: lowest severity that the node logs.
    """
    settings = [] if params_file is None else ["--params-file", str(params_file)]
    settings += [argument for name, value in parameters.items() for argument in ("-p", f"{name}:={_yaml(value)}")]
    command = [sys.executable, "-m", module, "--ros-args", *settings, "--log-level", log_level]
    output = subprocess.PIPE if capture else None
    # Only a system call runs between fork and exec, so locks of other threads cannot cause a deadlock.
    return subprocess.Popen(
        command,
        env=environment,
        stdout=output,
        text=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509
    )


def stop(process: subprocess.Popen[str], timeout: float = 15.0) -> int:
    """Interrupt a process as Ctrl-C would, kill it if it does not exit; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _end_with_parent() -> None:
    """Make the kernel terminate this child process when its parent ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    # ROS parses parameters as YAML: quotes keep a path that looks like a number a string.
    return f"'{value}'" if isinstance(value, str) else str(value)
