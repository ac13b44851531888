# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Device, driver and versions that the results of a check depend on."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from typing import Any

import torch

PACKAGES = ("triton", "timm", "numpy", "numba", "safetensors", "opencv-python-headless", "opencv-python")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the versions of packages, and of a CUDA device its driver, capability and memory."""
    found: dict[str, Any] = {name: version for name in PACKAGES if (version := _version(name))}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "driver": _driver(),
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
            "compute capability": f"{properties.major}.{properties.minor}",
            "device memory, GB": round(properties.total_memory / 1e9, 1),
        }
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _driver() -> str:
    """Return the version of the first device's driver; empty if the system does not tell it."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.partition("\n")[0].strip()
