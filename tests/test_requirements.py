# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Requirements, constraints, Dockerfile and workflows agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text()


def requirements(path: Path, python: str) -> list[Requirement]:
    """Return the requirements of a file, and of those that it includes, that apply to a version of Python."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    found: list[Requirement] = []
    for line in path.read_text().splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if text.startswith("-r "):
            found += requirements(path.parent / text.removeprefix("-r ").strip(), python)
        elif text:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate(environment):
                found.append(one)
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("constraints", "additional"), [("", []), ("-numpy1", ["requirements-numpy1.txt"])])
def test_constraints_have_an_exact_version_that_every_requirement_allows(
    constraints: str, additional: list[str], python: str
) -> None:
    exact: dict[str, str] = {}
    for one in requirements(ROOT / f"constraints{constraints}.txt", python):
        ((operator, version),) = ((part.operator, part.version) for part in one.specifier)
        assert operator == "==" and normalized(one.name) not in exact, one
        exact[normalized(one.name)] = version
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-colcon.txt", *additional):
        for one in requirements(ROOT / name, python):
            assert normalized(one.name) in exact, f"{one}: type make constraints"
            assert one.specifier.contains(exact[normalized(one.name)]), f"{one}: type make constraints"


@pytest.mark.parametrize("name", ["requirements-ros-jazzy.txt", "requirements-ros-kilted.txt"])
def test_the_wheels_of_a_distribution_have_exact_versions(name: str) -> None:
    for one in requirements(ROOT / name, "3.12"):
        assert re.fullmatch(r"==[\d.]+", str(one.specifier)), one


def test_the_workflow_tests_the_wheels_of_every_distribution_and_the_first_and_last_python() -> None:
    matrix = yaml.safe_load(WORKFLOW)["jobs"]["wheels"]["strategy"]["matrix"]
    assert {f"requirements-ros-{ros}.txt" for ros in matrix["ros"]} == {p.name for p in ROOT.glob("requirements-ros-*")}
    assert {PYTHONS[0], PYTHONS[-1]} <= set(matrix["python"]) <= set(PYTHONS)


def test_the_workflow_makes_targets_that_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"run: make ([a-z-]+)", WORKFLOW)
    assert named and set(named) <= set(targets)


@pytest.mark.parametrize("path", ["docker/Dockerfile", ".github/workflows/prepare_distribution.sh"])
def test_requirement_files_that_are_named_exist(path: str) -> None:
    text = (ROOT / path).read_text()
    named = set(re.findall(r"(?:requirements|constraints)[-\w]*\.txt", text))
    assert named and all((ROOT / name).is_file() for name in named), named


def test_the_image_copies_files_that_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [name for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.M) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() and name.split("/")[0] not in ignored for name in copied), copied


def test_the_image_installs_with_the_same_installer_as_make() -> None:
    (version,) = re.findall(r"uv==([\d.]+)", (ROOT / "scripts/setup.sh").read_text())
    assert f"uv=={version}" in DOCKERFILE
