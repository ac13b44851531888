# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`frame`: where a frame's time goes in the node's parts, ROS included, and the light preset against ResNet-50."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import rclpy
import torch

from ciae_ros.benchmark.frame import FrameBenchmark, FrameShares
from ciae_ros.benchmark.images import read_images
from ciae_ros.benchmark.many_instances import with_many_instances
from ciae_ros.benchmark.measuring import in_turns, milliseconds
from ciae_ros.benchmark.options import Run
from ciae_ros.benchmark.results import Results, markdown_table, spread_cell
from ciae_ros.core.processes import environment_of_this_process, isolated_ros_environment
from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.model import PRESETS

SIZES = ((512, 672), (1080, 1920))
COMPARED_SIZE = (512, 672)
COMPARED = ("light_512", "r50_512")
ROS_STAGES = ("receive + convert", "message", "publish")
"""What rclpy and its messages cost."""
INSTANCES = (0, 20, 100)
"""Aimed at in a frame; untrained weights detect none by themselves."""
NOTES = [
    "One process publishes images to itself over DDS and does with each what the node does; nobody subscribes to the "
    "results. Light preset, untrained weights; the score threshold is lowered until so many instances are left. "
    "Medians.",
    f"ROS in Python: {', '.join(ROS_STAGES)}; one core.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    parser.add_argument("--shares-only", action="store_true", help="leave out the comparison with ResNet-50")


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Measure; a round is a frame."""
    rows = []
    with isolated_ros_environment() as environment, environment_of_this_process(environment):
        rclpy.init()
        predictor = _predictor("light_512", options)
        for size in SIZES:
            images = _bgr_images(options, size)
            rows += [_shares(predictor, images, size, instances) for instances in INSTANCES]
        rclpy.try_shutdown()
    if not options.shares_only:
        rows += _compare(options, run_of)
    return Results("frame", run_of.conditions, {"rounds": run_of.rounds.counted}, rows, NOTES)


def _shares(predictor: Predictor, images: list[np.ndarray], size: tuple[int, int], instances: int) -> dict[str, Any]:
    predictor.settings = predictor.default_settings
    if instances:
        with_many_instances(predictor, images[0], instances)
    benchmark = FrameBenchmark(predictor)
    shares = benchmark.run(images)
    benchmark.close()
    return {"kind": "shares", "size": list(size), "instances_asked": instances} | _of(shares)


def _of(shares: FrameShares) -> dict[str, Any]:
    return {
        "instances": shares.instances,
        "segments": shares.segments,
        "stages": shares.milliseconds,
        "frame": shares.total,
        "all_but_network": 1 - shares.share("network"),
        "ros_in_python": sum(shares.milliseconds[stage] for stage in ROS_STAGES),
    }


def _compare(options: argparse.Namespace, run_of: Run) -> list[dict[str, Any]]:
    images = _bgr_images(options, COMPARED_SIZE)
    predictors = {name: _predictor(name, options) for name in COMPARED}
    times = in_turns(
        {
            name: lambda predictor=predictor: predictor.predict_timed(images[0], "bgr")[1].network  # type: ignore[misc]
            for name, predictor in predictors.items()
        },
        run_of.rounds,
    )
    rows: list[dict[str, Any]] = [
        {"kind": "network", "name": name, "size": list(COMPARED_SIZE), "network": milliseconds(values)}
        for name, values in times.items()
    ]
    reference = rows[-1]["network"]["median"]
    return [row | {"ratio": row["network"]["median"] / reference} for row in rows]


def _bgr_images(options: argparse.Namespace, size: tuple[int, int]) -> list[np.ndarray]:
    images = read_images(options.source, options.rounds, size)
    return [np.ascontiguousarray(image[..., ::-1]) for image in images]


def _predictor(preset: str, options: argparse.Namespace) -> Predictor:
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint(preset, PRESETS[preset], coco_categories())
    return Predictor(checkpoint, options.device, options.precision)


def table(results: Results) -> str:
    """In Markdown: a column for each size and number of instances."""
    shares = [row for row in results.rows if row["kind"] == "shares"]
    header = [
        "stage, ms",
        *(f"{row['size'][0]} x {row['size'][1]}, {row['instances']:.0f} instances" for row in shares),
    ]
    lines = [
        [stage, *(f"{row['stages'][stage]:.2f} ({row['stages'][stage] / row['frame']:.1%})" for row in shares)]
        for stage in shares[0]["stages"]
    ]
    lines.append(["frame", *(f"{row['frame']:.2f}" for row in shares)])
    lines.append(["all but network", *(f"{row['all_but_network']:.1%}" for row in shares)])
    lines.append(["ROS in Python", *(f"{row['ros_in_python']:.2f}" for row in shares)])
    networks = [
        [row["name"], spread_cell(row["network"]), f"{row['ratio']:.3f}"]
        for row in results.rows
        if row["kind"] == "network"
    ]
    parts = [markdown_table(header, lines)]
    if networks:
        parts.append(
            markdown_table(["network at {} x {}".format(*COMPARED_SIZE), "ms", f"of {COMPARED[-1]}"], networks)
        )
    return "\n\n".join(parts)
