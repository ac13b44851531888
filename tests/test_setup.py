# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Set-up on machines with missing software: a line that says what is missing and what to type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_NETWORK = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": "/dev/null",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The inputs of set-up, without installed packages."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for path in (*ROOT.glob("requirements*.txt"), *ROOT.glob("constraints*.txt")):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "ciae_msgs", tmp_path / "ciae_msgs")
    return tmp_path


def set_up(checkout: Path, **variables: str) -> list[str]:
    """Return the lines on standard error of a failing set-up."""
    own = ("ROS", "AMENT_", "RESOLUTION", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    finished = subprocess.run(
        ["bash", "scripts/setup.sh"],
        cwd=checkout,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 1
    return finished.stderr.strip().splitlines()


def path_without(folder: Path, *missing: str) -> str:
    """Create a folder of links to the programs of set-up, except some."""
    folder.mkdir()
    for name in (
        "bash",
        "uname",
        "dirname",
        "python3",
        "cat",
        "sha256sum",
        "cut",
        "flock",
        "mkdir",
        "touch",
        "rm",
        "env",
    ):
        found = shutil.which(name)
        if found and name not in missing:
            (folder / name).symlink_to(found)
    return str(folder)


def test_no_compiler(checkout: Path) -> None:
    (line,) = set_up(checkout, PATH=path_without(checkout / "bin"))
    assert line == "set-up failed: no C++ compiler, which building the messages needs; type: apt install g++"


def test_no_suitable_python(checkout: Path) -> None:
    compiler = Path(path_without(checkout / "bin", "python3"))
    (compiler / "c++").symlink_to(shutil.which("c++") or "/usr/bin/c++")
    (line,) = set_up(checkout, PATH=str(compiler))
    assert line.startswith("set-up failed: no Python 3.10 to 3.14 found; install one")


def test_a_named_python_of_the_wrong_version(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    (line,) = set_up(checkout, PYTHON=str(python))
    assert line == f"set-up failed: PYTHON={python} is not a Python 3.10 to 3.14; set PYTHON to one"


@pytest.mark.parametrize(("minor", "supported"), [(9, False), (10, True), (14, True), (15, False)])
def test_supported_versions_of_python(tmp_path: Path, minor: int, supported: bool) -> None:
    """Only the check runs, in this Python that says that it is another version."""
    python = tmp_path / "python"
    pretend = f"import sys; sys.version_info = (3, {minor}, 0); exec(sys.argv[1])"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$2"\n')
    python.chmod(0o755)
    (check,) = re.findall(r"^is_supported_python\(\) \{.*?^\}", (ROOT / "scripts/setup.sh").read_text(), re.M | re.S)
    finished = subprocess.run(["bash", "-c", f"{check}\nis_supported_python {python}"], check=False, timeout=60)
    assert (finished.returncode == 0) == supported


def test_a_processor_without_wheels_of_ros(checkout: Path) -> None:
    programs = Path(path_without(checkout / "bin", "uname"))
    uname = programs / "uname"
    uname.write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux\n')
    uname.chmod(0o755)
    (line,) = set_up(checkout, PATH=f"{programs}:{os.environ['PATH']}")
    assert "ROS 2 wheels exist for x86_64 only, not aarch64; source a ROS 2 distribution (Jazzy or newer)" in line


def test_wheels_that_do_not_exist(checkout: Path) -> None:
    (line,) = set_up(checkout, ROS="humble")
    assert line.endswith("ROS=humble: there are wheels of jazzy and kilted; set ROS to one, or source a distribution")


def test_wheels_beside_a_sourced_distribution(checkout: Path) -> None:
    (line,) = set_up(checkout, ROS="kilted", ROS_DISTRO="jazzy", AMENT_PREFIX_PATH="/opt/ros/jazzy")
    assert "ROS jazzy is sourced, but ROS=kilted; use a shell in which no distribution is sourced" in line


def test_versions_that_are_neither_the_lowest_nor_the_newest(checkout: Path) -> None:
    (line,) = set_up(checkout, RESOLUTION="lowest")
    assert line == "set-up failed: RESOLUTION=lowest is neither lowest-direct nor highest"


@pytest.mark.parametrize(
    ("variables", "now"),
    [({"ROS": "jazzy"}, "wheels jazzy"), ({"RESOLUTION": "highest"}, "wheels kilted, highest versions")],
)
def test_an_environment_of_other_versions(checkout: Path, variables: dict[str, str], now: str) -> None:
    make_environment(checkout, "wheels kilted")
    *_, line = set_up(checkout, **variables)
    assert line.startswith(f"set-up failed: .venv was made for ROS from wheels kilted, now it is from {now}; type: rm")


@pytest.mark.parametrize("before", ["distribution jazzy", "wheels"])  # The second was before there were several.
def test_an_environment_of_a_distribution_that_is_not_sourced(checkout: Path, before: str) -> None:
    make_environment(checkout, before)
    (line,) = set_up(checkout)
    assert f".venv was made for ROS from {before}, now it is from wheels kilted; type: rm" in line


def test_the_wheels_of_an_environment_are_kept(checkout: Path) -> None:
    make_environment(checkout, "wheels jazzy")
    *_, line = set_up(checkout, **NO_NETWORK)
    assert "packages cannot be downloaded" in line
    assert (checkout / ".venv/.finished/mode").read_text() == "wheels jazzy\n"


def make_environment(checkout: Path, mode: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", checkout / ".venv"], check=True, timeout=120)
    (checkout / ".venv/.finished").mkdir()
    (checkout / ".venv/.finished/mode").write_text(f"{mode}\n")


def test_an_old_ros_distribution(checkout: Path) -> None:
    (line,) = set_up(checkout, ROS_DISTRO="humble", ROS_VERSION="2", AMENT_PREFIX_PATH="/opt/ros/humble")
    assert "ROS humble is sourced, which is older than Jazzy" in line


def test_no_network_after_an_unfinished_set_up(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    *before, line = set_up(checkout, **NO_NETWORK)
    assert before[0] == "set-up: .venv is incomplete or corrupt; creating it again"
    assert line.startswith("set-up failed: packages cannot be downloaded; check the network")
