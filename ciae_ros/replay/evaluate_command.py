# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`evaluate`: bags in, a run and its report out."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.evaluate import Order, evaluate
from ciae_ros.replay.measures.gate import Requirement, parse_requirements
from ciae_ros.replay.model_arguments import add_model_arguments, model_options
from ciae_ros.replay.reporting import report_and_judge

SUMMARY = "segment every frame of bags, measure, and write a report"
EXAMPLE = "python -m ciae_ros.replay evaluate drive.mcap --ground-truth truth/panoptic_drive.json --output out/drive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add_inputs(parser, Path("out/replay"))
    add = parser.add_argument
    add(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="spread over a Ray cluster: the one at ADDRESS, or a running one, or one on this machine",
    )
    add("--ray-workers", type=int, metavar="N", help="default: one for each GPU, or for each machine without")


def add_inputs(parser: argparse.ArgumentParser, output: Path) -> None:
    """What makes an `Order`, and what is required of its run."""
    add = parser.add_argument
    add("bags", nargs="+", type=Path, metavar="BAG", help="rosbag2 folder, or .mcap or .db3 file")
    add_model_arguments(parser)
    add(
        "--ground-truth",
        metavar="WHERE",
        help="folder or JSON file in COCO's panoptic format, or LABELS_TOPIC,SEGMENTS_TOPIC in the bags",
    )
    add("--topics", nargs="+", metavar="TOPIC", help="of images (default: all that a camera may have sent)")
    add("--output", type=Path, default=output, help="folder for the run (default: %(default)s)")
    add("--no-pictures", action="store_true", help="keep no label maps: less disk, no frames in the report")
    add_requirements(parser)


def order_of(options: argparse.Namespace, command: str) -> Order:
    """What was typed, with paths that hold in other folders and processes too."""
    truth = options.ground_truth
    return Order(
        bags=list(dict.fromkeys(bag.resolve() for bag in options.bags)),
        output=options.output.resolve(),
        model=model_options(options),
        ground_truth=str(Path(truth).resolve()) if truth and Path(truth).exists() else truth,
        topics=options.topics,
        keep_label_maps=not options.no_pictures,
        command=command,
    )


def add_requirements(parser: argparse.ArgumentParser) -> None:
    """What may fail a run that has been made."""
    parser.add_argument(
        "--require",
        type=_requirements,
        default=[],
        metavar="FIGURES",
        help='end with code 3 unless these hold, as in "pq>=40 latency_p99<=0.05" (per cent, seconds)',
    )


def _requirements(text: str) -> list[Requirement]:
    try:
        return parse_requirements(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace, command: str) -> int:
    """Evaluate and write the report; 0, 1 if something could not be read, 3 if a requirement does not hold."""
    order = order_of(options, command)
    if options.ray is None:
        made = evaluate(order)
    else:
        # Ray is an extra.
        from ciae_ros.replay.fleet import evaluate_on_ray  # noqa: PLC0415

        made = evaluate_on_ray(order, options.ray or None, options.ray_workers)
    return report_and_judge(made, options.require)
