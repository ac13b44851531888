# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Peak memory of a network, measured in its own process.

On a CUDA device it is the maximum that PyTorch has allocated while segmenting images: weights, activations and
results. On a CPU it is the growth of the process's resident memory, from before the network is built (with its library
imported) to the peak while images are segmented; the memory for building it is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module

import numpy as np
import torch

from benchmarks.networks.baseline import Setup
from benchmarks.networks.baselines import PACKAGES, build
from ciae_ros.inference.host_memory import reset_peak_memory, resident_bytes

IMAGES = 2


def measure_in_child(name: str, setup: Setup, image_size: tuple[int, int]) -> int | None:
    """Measure in a child process; returns bytes, or None if the system does not report them.

    Raises:
        RuntimeError: the process failed; the message is its last line.
    """
    request = json.dumps({"name": name, "setup": asdict(setup), "image_size": image_size})
    command = [sys.executable, "-m", "benchmarks.networks.peak_memory", request]
    child = subprocess.run(command, check=False, capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError((child.stderr.strip().splitlines() or ["no message"])[-1])
    measured = json.loads(child.stdout.splitlines()[-1])
    return None if measured is None else int(measured)


def measure(name: str, setup: Setup, image_size: tuple[int, int]) -> int | None:
    """Measure in this process."""
    image = np.random.default_rng(0).integers(0, 256, (*image_size, 3), np.uint8)
    for package in PACKAGES.get(name, ()):
        import_module(package)
    before = resident_bytes()
    baseline = build(name, setup)
    baseline.target_instance_count(image)
    is_cuda = setup.torch_device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(setup.torch_device)
    reset_peak_memory()
    for _ in range(IMAGES):
        baseline.run(image)
    if is_cuda:
        return torch.cuda.max_memory_allocated(setup.torch_device)
    after = resident_bytes(peak=True)
    return None if before is None or after is None else after - before


def _main() -> None:
    request = json.loads(sys.argv[1])
    print(json.dumps(measure(request["name"], Setup(**request["setup"]), tuple(request["image_size"]))))


if __name__ == "__main__":
    _main()
