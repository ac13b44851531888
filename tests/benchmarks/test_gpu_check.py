# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The check of a CUDA device: a dry run on the CPU with few packages, faults in parts, and time limits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.gpu_check.device_tests import FILES, ROS_TESTS
from benchmarks.gpu_check.gpu_check import _run_process
from benchmarks.gpu_check.parts import PARTS, faults_of_accuracy, faults_of_frames, faults_of_tests, faults_of_training

ROOT = Path(__file__).parents[2]
NEEDED = ("torch", "torchvision", "triton", "timm", "safetensors", "numpy", "opencv-python-headless", "numba", "pytest")
"""Distributions that the check may import, with what they depend on."""
DRY_RUN = ("gpu-check", "--device", "cpu", "--dry-run")
WITHOUT_OTHERS = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
"""Makes Python find no other package."""
IN_ONE_PROCESS = """
import sys
from pathlib import Path
from benchmarks.__main__ import main
from benchmarks.gpu_check import gpu_check

def run_here(command: list[str], output: Path, limit: float) -> str:
    output.touch()
    return "" if main(command[3:]) == 0 else "see above"

gpu_check._run_process = run_here
sys.exit(main(sys.argv[1:]))
"""
"""Runs the check with all parts in its own process, which imports PyTorch once."""


def with_dependencies(names: Iterable[str]) -> set[str]:
    """Return installed distributions and all that they require, by normalised names."""
    todo, found = list(names), set()
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            todo += [re.split(r"[^\w.-]", each)[0] for each in required if "extra ==" not in each]
    return found


def environment_without_others(folder: Path) -> dict[str, str]:
    """Return an environment in which Python processes find nothing but what is needed."""
    allowed = with_dependencies(NEEDED)
    blocked = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", owner).lower() in allowed for owner in owners)
    } - {"ciae_ros", "training", "benchmarks", "tests"}
    assert {"matplotlib", "scipy", "transformers", "xdist", "psutil", "pydantic"} <= blocked
    (folder / "sitecustomize.py").write_text(WITHOUT_OTHERS.format(blocked=blocked))
    # Without the paths of ROS, whose packages are no distributions.
    return {**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def results_in(output: Path) -> tuple[dict[str, Any], str]:
    """Return the results and the report of a check."""
    return json.loads((output / "gpu-check.json").read_text()), (output / "gpu-check.md").read_text()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dry_run_needs_few_packages_and_reports_every_part(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    command = [sys.executable, "-c", IN_ONE_PROCESS, *DRY_RUN, "--source", str(images), "--minutes", "9"]
    run = subprocess.run(
        [*command, "--output", str(tmp_path / "out")],
        cwd=ROOT,
        env=environment_without_others(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "out" / "gpu-check.json").is_file(), run.stdout + run.stderr
    results, report = results_in(tmp_path / "out")
    assert {row["part"]: (row["status"], row["faults"]) for row in results["rows"]} == {
        part.name: ("passed", []) if not part.needs else ("left out", ["it needs rclpy, ciae_msgs"]) for part in PARTS
    }
    assert run.returncode == 0
    assert all(row["results"]["rows"] for row in results["rows"] if row["status"] == "passed")
    assert {"device", "torch", "triton", "timm", "numpy", "commit", "date"} <= results["conditions"].keys()
    assert re.findall(r"^## (.*)$", report, re.MULTILINE) == [part.title for part in PARTS if not part.needs]
    assert report.rstrip().endswith("Every part has passed.")


def test_it_continues_after_a_part_that_fails(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.mp4")
    assert main([*DRY_RUN, "--parts", "roofline", "tests", "--source", missing, "--output", str(tmp_path)]) == 1
    results, report = results_in(tmp_path)
    tests, roofline = results["rows"]
    assert (tests["part"], tests["status"], roofline["part"], roofline["status"]) == (
        ("tests", "passed", "roofline", "failed")
    )
    assert missing in roofline["faults"][0]
    assert f"| roofline | failed: exit code 1: benchmark: source '{missing}' does not exist" in report
    assert report.rstrip().endswith("Failed or not run: roofline.")


def test_without_a_device_only_a_dry_run_is_possible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu-check", "--device", "cpu", "--output", str(tmp_path)]) == 1
    assert "gpu-check needs a CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_parts_without_time_are_not_run(tmp_path: Path) -> None:
    assert main([*DRY_RUN, "--minutes", "0.1", "--parts", "tests", "--output", str(tmp_path)]) == 1
    results, report = results_in(tmp_path)
    assert results["rows"][0]["status"] == "not run"
    assert "| tests | not run: the time was up (--minutes) | 0 |" in report


def test_a_part_without_results_fails_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = []

    def run_process(command: list[str], output: Path, limit: float) -> str:
        reports.append((tmp_path / "gpu-check.md").read_text() if reports else "")
        return ""

    monkeypatch.setattr("benchmarks.gpu_check.gpu_check._run_process", run_process)
    assert main([*DRY_RUN, "--source", "none", "--output", str(tmp_path), "--parts", "tests", "roofline"]) == 1
    assert len(reports) == 2
    assert "| tests | failed: " in reports[1]
    assert reports[1].rstrip().endswith("Failed or not run: tests, roofline.")
    assert "does not contain results of a benchmark" in capsys.readouterr().out


def test_a_part_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"import os, time; pid = os.fork(); pid and open({str(pid)!r}, 'w').write(str(pid)); time.sleep(600)"
    start = time.monotonic()
    fault = _run_process([sys.executable, "-c", program], tmp_path / "output.txt", limit=5.0)
    assert fault == "not finished after 5 s"
    assert time.monotonic() - start < 60
    child, end = int(pid.read_text()), time.monotonic() + 30
    while (still_runs := is_running(child)) and time.monotonic() < end:
        time.sleep(0.05)  # A killed process ends when it is next scheduled.
    assert not still_runs


def test_faults() -> None:
    tests = [{"outcome": "passed"}, {"outcome": "failed"}, {"outcome": "skipped"}]
    assert list(faults_of_tests(tests, True)) == ["1 of 3 tests failed"]
    assert list(faults_of_tests(tests[2:], True)) == ["no test passed"]
    assert list(faults_of_tests(tests[2:], False)) == []
    same = {"model": "m", "runs": "PyTorch, fp16", "precision": "fp16", "same_category": 0.985}
    assert (
        list(faults_of_accuracy([same], True)) == list(faults_of_accuracy([same | {"same_category": 0}], False)) == []
    )
    assert list(faults_of_accuracy([same | {"precision": "fp32"}], True)) == [
        "m, PyTorch, fp16: 98.50% of the pixels have the same category"
    ]
    frame = {"model": "m", "input_size": 512, "precision": "fp16", "runs": "eager: no graph, fp16"}
    assert list(faults_of_frames([frame], True)) == ["m, 512, fp16: eager: no graph, fp16"]
    assert list(faults_of_frames([frame], False)) == []
    assert list(faults_of_frames([frame | {"runs": "CUDA graph (eager), fp16"}], True)) == []
    assert list(faults_of_frames([frame | {"note": "too large"}], False)) == ["m, 512, fp16: too large"]
    rows = [{"preset": "a", "precision": "fp32"}, {"preset": "b", "precision": "fp16", "note": "bad"}]
    assert list(faults_of_training(rows, True)) == ["b, fp16: bad"]


def test_every_test_that_needs_a_cuda_device_is_included() -> None:
    pattern = re.compile(r"needs a CUDA device|needs_cuda|needs_device")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if pattern.search(path.read_text()) and path.name != Path(__file__).name
    }
    assert found == {*FILES, *(test.partition("::")[0] for test in ROS_TESTS)}
