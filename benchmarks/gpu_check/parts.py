# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The parts of the check, each of which is a benchmark in a process of its own, and what they must show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ciae_ros.inference import DEFAULT_MODEL

LIGHT = "untrained/light_512"
SOURCE = "{source}"
"""Placeholder in arguments for the source of images."""

MIN_SAME_CATEGORY = {"fp32": 0.99, "fp16": 0.98, "bf16": 0.97}
"""Minimum share of pixels with the category that PyTorch finds on the CPU in fp32, by precision. In a trained network
the rounding of bf16 changes 1 %, at the borders of segments."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One part of the check."""

    name: str
    title: str
    """Heading of its results."""
    benchmark: str
    """Subcommand of `python -m benchmarks`."""
    arguments: tuple[str, ...]
    dry_run: tuple[str, ...]
    """The arguments of a dry run, which measures nothing of interest in a few seconds."""
    seconds: int
    """Time limit."""
    faults: Callable[[Rows, bool], Iterator[str]] = lambda rows, is_cuda: iter(())
    """What is wrong in the rows of its results, human-readable; the second argument is whether it ran on CUDA."""
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""


def faults_of_tests(rows: Rows, is_cuda: bool) -> Iterator[str]:
    """Return the number of failed tests; on a CUDA device some must have run."""
    outcomes = [row["outcome"] for row in rows]
    if failed := outcomes.count("failed"):
        yield f"{failed} of {len(rows)} tests failed"
    if is_cuda and "passed" not in outcomes:
        yield "no test passed"


def faults_of_accuracy(rows: Rows, is_cuda: bool) -> Iterator[str]:
    """Return the precisions in which a CUDA device finds other categories than the CPU on too many pixels."""
    for row in rows if is_cuda else []:
        if row["same_category"] < MIN_SAME_CATEGORY[row["precision"]]:
            yield f"{row['model']}, {row['runs']}: {row['same_category']:.2%} of the pixels have the same category"


def faults_of_frames(rows: Rows, is_cuda: bool) -> Iterator[str]:
    """Return what could not run, and what ran without a graph."""
    for row in rows:
        name = f"{row['model']}, {row['input_size']}, {row['precision']}"
        if "note" in row:
            yield f"{name}: {row['note']}"
        elif is_cuda and not row["runs"].startswith("CUDA graph"):
            yield f"{name}: {row['runs']}"


def faults_of_training(rows: Rows, is_cuda: bool) -> Iterator[str]:
    """Return what could not be trained."""
    return (f"{row['preset']}, {row['precision']}: {row['note']}" for row in rows if "note" in row)


_SHORTEST = (
    *("--image-size", "48", "64", "--backend", "torch", "--precisions", "fp32"),
    *("--frames", "3", "--rounds", "1", "--warm-up", "0"),
)


def _frames(name: str, model: str, title: str) -> Part:
    few = "--rounds", "3", "--warm-up", "1", "--frames", "4"
    return Part(
        f"frames-{name}",
        f"Frames and fusion, {title}",
        "pipeline",
        (
            *("--source", SOURCE, "--models", model, "--input-sizes", "512", "640", "800", "--instances", "20"),
            *("--precisions", "fp32", "fp16", "bf16", *few),
        ),
        ("--source", SOURCE, "--models", LIGHT, "--input-sizes", "32", "64", *_SHORTEST),
        75,
        faults_of_frames,
    )


PARTS = (
    Part("tests", "Tests", "tests", (), ("--files", "tests/inference/test_self_test.py"), 150, faults_of_tests),
    Part(
        "accuracy",
        "Accuracy",
        "backends",
        ("--source", SOURCE, "--models", DEFAULT_MODEL, "--rounds", "5"),
        ("--source", SOURCE, "--image-size", "64", "96", "--images", "1", "--rounds", "1", "--warm-up", "0"),
        60,
        faults_of_accuracy,
    ),
    _frames("light", LIGHT, "light preset"),
    _frames("r50", "untrained/r50_800", "ResNet-50"),
    _frames("r101", "untrained/r101_800", "ResNet-101"),
    _frames("x101-dcn", "untrained/x101_dcn_800", "ResNeXt-101 with deformable convolutions"),
    Part(
        "cameras",
        "Batches of up to 8 cameras",
        "pipeline",
        (
            *("--source", SOURCE, "--models", LIGHT, "untrained/r50_800", "--instances", "20"),
            *("--image-size", "720", "1280", "--batch-sizes", "1", "2", "4", "8"),
            *("--rounds", "3", "--warm-up", "1", "--frames", "4"),
        ),
        (
            *("--source", SOURCE, "--models", LIGHT, "--input-sizes", "32", "--batch-sizes", "1", "8"),
            *_SHORTEST,
        ),
        60,
        faults_of_frames,
    ),
    Part(
        "training",
        "Training steps",
        "training-steps",
        ("--precisions", "fp32", "fp16", "bf16", "--rounds", "5", "--warm-up", "3"),
        (
            *("--presets", "light_512", "--image-size", "48", "64", "--input-size", "64", "--batch-size", "2"),
            *("--rounds", "1", "--warm-up", "0"),
        ),
        90,
        faults_of_training,
    ),
    Part(
        "fusion",
        "Fusion by size and number of instances",
        "fusion",
        ("--source", SOURCE, "--rounds", "5"),
        (
            *("--no-real", "--sizes", "48x64", "--instances", "5", "--compared-size", "48x64"),
            *("--compared-instances", "5", "--rounds", "1", "--warm-up", "0"),
        ),
        45,
    ),
    Part(
        "roofline",
        "Roofline",
        "roofline",
        ("--source", SOURCE, "--rounds", "8"),
        (
            *("--source", SOURCE, "--cases", "light 512x672", "--image-size", "64", "96"),
            *("--rounds", "1", "--warm-up", "0"),
        ),
        45,
    ),
    Part(
        "profile",
        "Profile",
        "profile",
        ("--source", SOURCE, "--preset", "r50_800", "--image-size", "1080", "1920"),
        ("--source", SOURCE, "--frames", "1", "--image-size", "48", "64", "--input-size", "32"),
        30,
    ),
    Part(
        "node",
        "The node with 8 cameras",
        "node",
        ("--source", SOURCE, "--cameras", "8", "--sizes", "1280x720", "--seconds", "2"),
        (
            *("--source", SOURCE, "--cameras", "2", "--sizes", "96x64", "--input-size", "64", "--seconds", "1"),
            *("--backend", "torch", "--precision", "fp32"),
        ),
        90,
        needs=("rclpy", "ciae_msgs"),
    ),
)
"""In the order in which they run; the last ones are left out first if there is too little time."""
