# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What all subcommands can be told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ciae_ros.benchmark.measuring import Rounds
from ciae_ros.benchmark.results import describe_run
from ciae_ros.inference.predictor import DTYPES

OUTPUT = Path("out/bench")


@dataclass(frozen=True)
class Run:
    """One run of a subcommand."""

    device: torch.device
    rounds: Rounds
    conditions: dict[str, Any]
    """`describe_run`."""


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Device, precision, rounds, images and where the results go."""
    add = parser.add_argument
    default = "cuda" if torch.cuda.is_available() else "cpu"
    add("--device", default=default, help=f"cpu, cuda or cuda:N (here: {default})")
    add("--precision", choices=DTYPES, help="default: fp16 on a CUDA device, else fp32")
    add("--source", help="video file or folder of images (default: the demo's street clip)")
    add("--rounds", type=positive, default=20, help="in which everything is measured once (default: 20)")
    add("--warm-up", type=int, default=3, metavar="N", help="rounds before that, not counted (default: 3)")
    add("--output", type=Path, default=OUTPUT, help="folder for the results as JSON (default: %(default)s)")
    add("--plots", type=Path, metavar="DIR", help="folder for the plots (default: that of the results)")


def complete(options: argparse.Namespace, arguments: list[str]) -> Run:
    """Fill in the precision, and describe the run.

    Raises:
        ValueError: there is no such device.
    """
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise ValueError(f"unknown device {options.device!r}: use cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {options.device!r}: leave --device out, or say cpu")
    options.precision = options.precision or ("fp16" if device.type == "cuda" else "fp32")
    if device.type == "cpu" and options.precision == "fp16":
        raise ValueError("fp16 is not for the CPU: use fp32 or bf16")
    conditions = describe_run(device, options.precision, arguments)
    return Run(device, Rounds(options.rounds, options.warm_up), conditions)


def positive(text: str) -> int:
    """For argparse: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value
