# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The house's rules: imports point one way, and the library works without ROS."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "ciae_ros/model": {"ciae_ros.model"},
    "ciae_ros/inference": {"ciae_ros.model", "ciae_ros.inference"},
    "training": {"ciae_ros.model", "ciae_ros.inference", "ciae_ros.visualization", "training"},
    "ciae_ros/images": {"ciae_ros.inference", "ciae_ros.images"},
    "ciae_ros/replay": {
        "ciae_ros.model",
        "ciae_ros.inference",
        "ciae_ros.images",
        "ciae_ros.visualization",
        "ciae_ros.core.processes",
        "ciae_ros.replay",
    },
    "ciae_ros/node": {
        "ciae_ros.model",
        "ciae_ros.inference",
        "ciae_ros.images",
        "ciae_ros.node",
        "ciae_ros.visualization",
    },
}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for module in _imported_modules(path):
            if module.split(".")[0] in ("ciae_ros", "training"):
                prefixes = MAY_IMPORT[folder]
                assert any((module + ".").startswith(prefix + ".") for prefix in prefixes), f"{path} imports {module}"


def test_library_imports_where_ros_is_not_installed() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('rclpy', 'sensor_msgs', 'ciae_msgs', 'std_msgs')));"
    modules = "ciae_ros.model, ciae_ros.inference, ciae_ros.visualization, ciae_ros.core.coco_panoptic"
    modules += ", ciae_ros.camera.image_conversion, ciae_ros.camera.image_decoding, ciae_ros.replay.__main__"
    modules += ", ciae_ros.replay.evaluate_command, ciae_ros.replay.compare_command, ciae_ros.replay.record_command"
    subprocess.run([sys.executable, "-c", f"{blocked} import {modules}"], check=True, cwd=ROOT)


@pytest.mark.parametrize("package", ["ciae_ros", "training"])
def test_every_folder_of_modules_is_a_package_that_is_installed(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, "find_packages leaves them out"


def _imported_modules(path: Path) -> list[str]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.append(node.module)
    return modules
