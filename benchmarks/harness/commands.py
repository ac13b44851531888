# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The subcommands, whose modules are imported when they are needed, because some need ROS."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

COMMANDS = {
    "frame": "node.frame",
    "networks": "networks.comparison",
    "fusion": "networks.fusion_cost",
    "roofline": "roofline.roofline",
    "pipeline": "node.pipeline",
    "node": "node.load",
    "scene": "node.scene",
    "tracking": "node.tracking",
    "pacing": "node.pacing",
    "start": "node.start",
    "backends": "networks.backends",
    "checkouts": "node.checkouts",
    "profile": "networks.profiling",
    "inference": "networks.inference_times",
    "training": "networks.training_speed",
    "training-steps": "networks.training_steps",
    "gpu-check": "gpu_check.gpu_check",
    "tests": "gpu_check.device_tests",
}
"""Subcommands and their modules."""


def benchmark_module(command: str) -> ModuleType:
    """Return the module of a subcommand."""
    return import_module(f"benchmarks.{COMMANDS[command]}")
