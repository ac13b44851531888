# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Launched nodes, with the packages that colcon has installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROS2 = [sys.executable, "-c", "from ros2cli.cli import main; raise SystemExit(main())"]


def launch(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return run_command([*ROS2, "launch", "ciae_ros", *arguments], environment, folder)


def run_command(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ros2(environment: dict[str, str], *arguments: str) -> str:
    """Return the output of `ros2 ARGUMENTS`."""
    # Discovery takes a moment without the daemon, which would outlive the test.
    command = [*ROS2, *arguments, "--no-daemon", "--spin-time", "10"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def interrupt(process: subprocess.Popen[str]) -> str:
    """Send Ctrl-C as a terminal does, to the launcher and the nodes."""
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)[0]
