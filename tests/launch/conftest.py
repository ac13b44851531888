# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The packages as colcon installs them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.launch.harness import ROOT


@pytest.fixture(scope="session")
def workspace(ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install both packages with `colcon build`; returns the environment of a shell that has sourced them."""
    if not importlib.util.find_spec("launch_ros") or not importlib.util.find_spec("ros2launch"):
        pytest.skip("needs ros2 launch, which is in a ROS distribution only")
    folder = tmp_path_factory.mktemp("workspace")
    arguments = ["--build-base", folder / "build", "--install-base", folder / "install"]
    # Scripts start with the Python that runs colcon, which has the packages of requirements.txt.
    colcon = [sys.executable, "-m", "colcon", "--log-base", folder / "log"]
    subprocess.run([*colcon, "build", *arguments], cwd=ROOT, check=True)
    shell = subprocess.run(
        ["bash", "-c", f"source {folder}/install/local_setup.bash && env -0"],
        env=os.environ | ros_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)
