# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`tests`: the tests that need a CUDA device."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table

ROOT = Path(__file__).parents[2]
FILES = (
    "tests/inference/fusion/test_assignment.py",
    "tests/inference/fusion/test_triton_assignment.py",
    "tests/inference/fusion/test_triton_mask_assignment.py",
    "tests/inference/pipeline/test_cuda_pipeline.py",
    "tests/inference/proposals/test_triton_nms.py",
    "tests/inference/test_predictor.py",
    "tests/inference/test_self_test.py",
)
"""Files with all tests that need a CUDA device, but no ROS."""
ROS_TESTS = ("tests/node/test_faults.py::test_more_memory_than_the_device_has_costs_one_frame",)
"""Tests that need a CUDA device and ROS."""
OUTCOMES = ("passed", "failed", "skipped")
NOTES = ["All tests of the files that contain tests for CUDA devices: kernels, graphs, streams, no synchronisation."]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    default = [*FILES, *(ROS_TESTS if util.find_spec("rclpy") else ())]
    parser.add_argument("--files", nargs="+", default=default, metavar="FILE", help="files of tests (default: all)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the tests.

    Raises:
        ValueError: pytest is not installed, or could not run them.
    """
    if util.find_spec("pytest") is None:
        raise ValueError("pytest is not installed: pip install pytest")
    report = options.output.absolute() / "tests.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options.files]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code not in (0, 1):
        raise ValueError(f"pytest has ended with exit code {code}")
    rows = [_row(case) for case in ElementTree.parse(report).iter("testcase")]
    return Results("tests", benchmark_run.conditions, {"files": list(options.files)}, rows, NOTES)


def _row(case: ElementTree.Element) -> dict[str, Any]:
    row = {"name": f"{case.get('classname')}::{case.get('name')}", "seconds": float(case.get("time", 0))}
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            outcome = "skipped" if child.tag == "skipped" else "failed"
            return row | {"outcome": outcome, "message": child.get("message", "")[:500]}
    return row | {"outcome": "passed"}


def table(results: Results) -> str:
    """Format the numbers of tests, and the failed ones, as Markdown."""
    numbers = [str(sum(row["outcome"] == outcome for row in results.rows)) for outcome in OUTCOMES]
    failed = [
        f"- `{row['name']}`: {' '.join(row['message'].split())}" for row in results.rows if row["outcome"] == "failed"
    ]
    return "\n\n".join([markdown_table(list(OUTCOMES), [numbers]), *(["\n".join(failed)] if failed else [])])
