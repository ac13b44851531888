# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`evaluate`: evaluate a model on bags and write a report."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.cli.model_arguments import add_model_arguments, model_options
from ciae_ros.replay.cli.output import report_and_check
from ciae_ros.replay.evaluation.run_evaluation import EvaluationConfig, evaluate
from ciae_ros.replay.metrics.summary import Requirement, parse_requirements

SUMMARY = "segment every frame of bags, measure, and write a report"
EXAMPLE = "python -m ciae_ros.replay evaluate drive.mcap --ground-truth truth/panoptic_drive.json --output out/drive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    add_inputs(parser, Path("out/replay"))
    add = parser.add_argument
    add(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="distribute over a Ray cluster: the one at ADDRESS, or a running one, or a new one on this machine",
    )
    add(
        "--ray-workers",
        type=int,
        metavar="N",
        help="default: one for each GPU, or one for each machine if there are no GPUs",
    )


def add_inputs(parser: argparse.ArgumentParser, output: Path) -> None:
    """Add the arguments of an `EvaluationConfig` and the requirements on its run."""
    add = parser.add_argument
    add("bags", nargs="+", type=Path, metavar="BAG", help="rosbag2 folder, or .mcap or .db3 file")
    add_model_arguments(parser)
    add(
        "--ground-truth",
        metavar="WHERE",
        help="folder or JSON file in COCO's panoptic format, or LABELS_TOPIC,SEGMENTS_TOPIC in the bags",
    )
    add("--topics", nargs="+", metavar="TOPIC", help="image topics (default: all that a camera may have published)")
    add("--output", type=Path, default=output, help="folder for the run (default: %(default)s)")
    add("--no-pictures", action="store_true", help="keep no label maps: less disk space, but no frames in the report")
    add_requirements(parser)


def evaluation_config(options: argparse.Namespace, command: str) -> EvaluationConfig:
    """Return the configuration with absolute paths, which are valid in other folders and processes."""
    truth = options.ground_truth
    return EvaluationConfig(
        bags=list(dict.fromkeys(bag.resolve() for bag in options.bags)),
        output=options.output.resolve(),
        model=model_options(options),
        ground_truth=str(Path(truth).resolve()) if truth and Path(truth).exists() else truth,
        topics=options.topics,
        keep_label_maps=not options.no_pictures,
        command=command,
    )


def add_requirements(parser: argparse.ArgumentParser) -> None:
    """Add the requirements that a finished run must meet."""
    parser.add_argument(
        "--require",
        type=_requirements,
        default=[],
        metavar="REQUIREMENTS",
        help='exit with code 3 unless these hold, as in "pq>=40 latency_p99<=0.05" (percent, seconds)',
    )


def _requirements(text: str) -> list[Requirement]:
    try:
        return parse_requirements(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace, command: str) -> int:
    """Evaluate and write the report; returns 0, 1 if something could not be read, 3 if a requirement is not met."""
    config = evaluation_config(options, command)
    if options.ray is None:
        made = evaluate(config)
    else:
        # Ray is optional.
        from ciae_ros.replay.evaluation.ray_cluster import evaluate_on_cluster  # noqa: PLC0415

        made = evaluate_on_cluster(config, options.ray or None, options.ray_workers)
    return report_and_check(made, options.require)
