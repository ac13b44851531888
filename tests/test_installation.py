# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The installed package: it declares its imports, and finds its files outside of the checkout."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
OWN = {"ciae_ros", "training", "ciae_msgs"}
PART_OF_OTHERS = {"triton": "torch", "builtin_interfaces": "std_msgs"}
"""Modules of packages that are declared under another name; `compression` is part of Python 3.14."""


def imported_modules() -> set[str]:
    modules: set[str] = set()
    for path in (path for folder in ("ciae_ros", "training") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.partition(".")[0])
    return modules - set(sys.stdlib_module_names) - OWN


def normalized(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def declared_packages() -> set[str]:
    """Return the packages in setup.py, including extras, and those of ROS in package.xml."""
    (call,) = (
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    arguments = {word.arg: word.value for word in call.keywords}
    required = ast.literal_eval(arguments["install_requires"])
    extras = [name for extra in ast.literal_eval(arguments["extras_require"]).values() for name in extra]
    of_ros = [
        depend.text or "" for depend in ElementTree.parse(ROOT / "package.xml").getroot() if "depend" in depend.tag
    ]
    return set(map(normalized, required + extras + of_ros))


def test_everything_that_is_imported_is_declared() -> None:
    distributions, declared = importlib.metadata.packages_distributions(), declared_packages()

    def is_declared(module: str) -> bool:
        names = [PART_OF_OTHERS.get(module, module), *distributions.get(module, [])]
        return not declared.isdisjoint(map(normalized, names))

    assert [module for module in sorted(imported_modules()) if not is_declared(module)] == []


def test_the_installed_package_finds_its_training_configurations(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".*", "build", "install", "log", "out", "tests", "docs", "__pycache__"),
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, timeout=120)
    shutil.rmtree(source)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    listed = subprocess.run(
        [sys.executable, "-m", "training.reproduce", "table8", "--list"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    assert "share/ciae_ros/config/training/paper/" in listed.stdout, listed.stdout
