# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`node`: bags played into the running node, and what it answered scored."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from ciae_ros.replay import evaluate_command
from ciae_ros.replay.evaluate import evaluate
from ciae_ros.replay.measures.gate import figures
from ciae_ros.replay.reporting import report_and_judge
from ciae_ros.replay.run_folder import amended, read_run

SUMMARY = "play bags into the running node at real time, and report what dropping and latency cost"
EXAMPLE = "python -m ciae_ros.replay node drive.mcap --rate 1.0 --output out/drive_node"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    evaluate_command.add_inputs(parser, Path("out/replay_node"))
    add = parser.add_argument
    add("--rate", type=_positive, default=1.0, help="so many times as fast as recorded (default: 1.0)")
    add(
        "--attach", default="", metavar="NODE", help="use a node that runs, such as /panoptic_node (default: start one)"
    )
    add("--params-file", type=Path, metavar="YAML", help="parameters of the node that is started")
    add(
        "--lock-step",
        type=Path,
        metavar="RUN",
        help="folder of a lock-step run of the same bags to compare with (default: it is made)",
    )


def run(options: argparse.Namespace, command: str) -> int:
    """Play and write the report; 0, 1 if something could not be read, 3 if a requirement does not hold."""
    # ROS is needed by this command alone.
    from ciae_ros.replay.node_run import Playback, evaluate_through_node  # noqa: PLC0415

    order = evaluate_command.order_of(options, command)
    lock_step = (
        read_run(options.lock_step)
        if options.lock_step
        else evaluate(replace(order, output=order.output / "lock_step"))
    )
    made = evaluate_through_node(
        replace(order, output=order.output / "node"), Playback(options.rate, options.attach, options.params_file)
    )
    # JSON has no NaN.
    known = {name: value for name, value in figures(lock_step).items() if math.isfinite(value)}
    return report_and_judge(amended(made, {"lock_step": known}), options.require)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no factor: it has to be positive")
    return value
