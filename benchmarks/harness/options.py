# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Options of all benchmarks."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.results import describe_run
from benchmarks.harness.timing import Rounds
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference.device_choice import default_device
from ciae_ros.inference.loading.named_models import AUTO
from ciae_ros.inference.precision import DTYPES

OUTPUT = Path("out/bench")


@dataclass(frozen=True)
class BenchmarkRun:
    """Settings of one run of a benchmark."""

    device: torch.device
    rounds: Rounds
    conditions: dict[str, Any]
    """Result of `describe_run`."""


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for device, precision, rounds, images and output folders."""
    add = parser.add_argument
    default = default_device()
    add("--device", default=default, help=f"cpu, cuda or cuda:N (here: {default})")
    add("--precision", choices=DTYPES, help="default: fp16 on a CUDA device, else as the node, or fp32 in comparisons")
    add("--source", help="video file or folder of images (default: the demo's street clip)")
    add(
        "--rounds",
        type=positive_int,
        default=20,
        help="rounds, in each of which everything is measured once (default: 20)",
    )
    add("--warm-up", type=int, default=3, metavar="N", help="uncounted rounds before these (default: 3)")
    add("--output", type=Path, default=OUTPUT, help="folder for the results as JSON (default: %(default)s)")
    add("--plots", type=Path, metavar="DIR", help="folder for the plots (default: as the results)")


def complete(options: argparse.Namespace, arguments: list[str]) -> BenchmarkRun:
    """Fill in the default precision and describe the run.

    Raises:
        ValueError: the device does not exist or does not support the precision.
    """
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise ValueError(f"unknown device {options.device!r}: use cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {options.device!r} does not exist: leave --device out, or set it to cpu")
    as_the_node = AUTO if hasattr(options, "backend") else "fp32"
    options.precision = options.precision or ("fp16" if device.type == "cuda" else as_the_node)
    if device.type == "cpu" and options.precision == "fp16":
        raise ValueError("the CPU does not support fp16: use fp32 or bf16")
    conditions = describe_run(device, options.precision, arguments)
    return BenchmarkRun(device, Rounds(options.rounds, options.warm_up), conditions)
