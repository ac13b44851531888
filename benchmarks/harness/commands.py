# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The subcommands, whose modules are imported when they are needed, because some need ROS."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Command(NamedTuple):
    """A subcommand."""

    module: str
    """Name of its module in `benchmarks`."""
    summary: str


COMMANDS = {
    "frame": Command("node.frame", "stages of a frame with the node's components, including ROS"),
    "networks": Command(
        "networks.comparison",
        "CIAE compared with Mask R-CNN and networks of transformers, on the same images in the same run",
    ),
    "fusion": Command("networks.fusion_cost", "cost of fusion by instances and size, compared with other methods"),
    "roofline": Command("roofline.roofline", "time of each stage relative to the device's measured rates"),
    "pipeline": Command("node.pipeline", "frames through the pipeline, sequentially, and in the bare network"),
    "node": Command("node.load", "the running node with 1 to 8 cameras at rates from half to twice its capacity"),
    "scene": Command("node.scene", "labelled points and boxes of a frame with 20 things in 720p, on one core"),
    "tracking": Command("node.tracking", "identities of 10 and 50 things in 720p, on one core"),
    "start": Command("node.start", "from the start of the node's process to the state active, and its memory"),
    "backends": Command(
        "networks.backends",
        "a network in PyTorch, ONNX Runtime and OpenVINO, or on a CUDA device, and how far labels are the same",
    ),
    "checkouts": Command(
        "node.checkouts",
        "start, memory, frames and demo of this checkout and another one, such as that of an earlier commit",
    ),
    "pacing": Command("node.pacing", "utilisation of a network whose batches vary in duration"),
    "profile": Command("networks.profiling", "a trace and a table of operators, into out/profile"),
    "inference": Command(
        "networks.inference_times", "time of a model per image of a folder, with the times of the paper's Table I"
    ),
    "training": Command("networks.training_speed", "images per second, memory and parts of a training step, by preset"),
    "training-steps": Command(
        "networks.training_steps",
        "parts of a training step on synthetic images, without a data set, by preset and precision",
    ),
    "gpu-check": Command(
        "gpu_check.gpu_check",
        "all of what a CUDA device must do: tests, accuracy, times; continues after a part that fails",
    ),
    "tests": Command("gpu_check.device_tests", "the tests that need a CUDA device, as a part of gpu-check"),
}
"""Subcommands by name."""


def benchmark_module(command: str) -> ModuleType:
    """Return the module of a subcommand."""
    return import_module(f"benchmarks.{COMMANDS[command].module}")
