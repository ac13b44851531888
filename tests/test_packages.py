# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The library works without ROS, and all of its packages are installed; `lint-imports` checks the imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_MODULES, MAX_LINES = 18, 350


def test_library_imports_where_ros_is_not_installed() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('rclpy', 'sensor_msgs', 'ciae_msgs', 'std_msgs')));"
    modules = "ciae_ros.model, ciae_ros.inference, ciae_ros.visualization, ciae_ros.core.coco_panoptic"
    modules += ", ciae_ros.camera.image_conversion, ciae_ros.camera.image_decoding, ciae_ros.replay.__main__"
    modules += ", ciae_ros.replay.cli.evaluate, ciae_ros.replay.cli.compare, ciae_ros.replay.cli.record_results"
    subprocess.run([sys.executable, "-c", f"{blocked} import {modules}"], check=True, cwd=ROOT)


@pytest.mark.parametrize("package", ["ciae_ros", "training"])
def test_every_folder_of_modules_is_a_package_that_is_installed(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, "find_packages skips them"


@pytest.mark.parametrize("package", ["benchmarks", "ciae_ros", "training"])
def test_folders_and_files_stay_small(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    long = [str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > MAX_LINES]
    assert not long, f"more than {MAX_LINES} lines"
    modules = [path.parent for path in files if path.name not in ("__init__.py", "__main__.py")]
    crowded = [str(folder) for folder in set(modules) if modules.count(folder) > MAX_MODULES]
    assert not crowded, f"more than {MAX_MODULES} modules"
