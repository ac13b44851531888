# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`node`: play bags into the running node and score its responses."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from ciae_ros.core.arguments import positive_float
from ciae_ros.replay.bags.types import ReplayError
from ciae_ros.replay.cli import evaluate as evaluate_command
from ciae_ros.replay.cli.output import report_and_check
from ciae_ros.replay.evaluation.run_evaluation import evaluate
from ciae_ros.replay.evaluation.run_folder import read_run, with_metadata
from ciae_ros.replay.metrics.summary import summarize

SUMMARY = "play bags into the running node in real time, and report the cost of drops and latency"
EXAMPLE = "python -m ciae_ros.replay node drive.mcap --rate 1.0 --output out/drive_node"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    evaluate_command.add_inputs(parser, Path("out/replay_node"))
    add = parser.add_argument
    add("--rate", type=positive_float, default=1.0, help="playback rate relative to the recording (default: 1.0)")
    add("--attach", default="", metavar="NODE", help="use a running node, such as /panoptic_node (default: start one)")
    add("--params-file", type=Path, metavar="YAML", help="parameter file of the node that is started")
    add(
        "--lock-step",
        type=Path,
        metavar="RUN",
        help="folder of a lock-step run of the same bags to compare with (default: run it first)",
    )


def run(options: argparse.Namespace, command: str) -> int:
    """Play and write the report; returns 0, 1 if something could not be read, 3 if a requirement is not met."""
    # Only this command needs ROS.
    from ciae_ros.replay.playback.node_evaluation import PlaybackOptions, evaluate_through_node  # noqa: PLC0415

    if options.category_map:
        raise ReplayError("--map is for lock-step evaluation: a node publishes the categories of its model")
    config = evaluate_command.evaluation_config(options, command)
    lock_step = (
        read_run(options.lock_step)
        if options.lock_step
        else evaluate(replace(config, output=config.output / "lock_step"))
    )
    made = evaluate_through_node(
        replace(config, output=config.output / "node"),
        PlaybackOptions(options.rate, options.attach, options.params_file),
    )
    # JSON has no NaN.
    known = {name: value for name, value in summarize(lock_step).items() if math.isfinite(value)}
    return report_and_check(with_metadata(made, {"lock_step": known}), options.require)
