# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The networks of the benchmark `networks` by name."""

from __future__ import annotations

from importlib import util

import torch

from benchmarks.networks.baseline import Baseline, Builder, Setup
from benchmarks.networks.ciae_baseline import CIAE_BASELINES
from benchmarks.networks.torchvision_baseline import TORCHVISION_BASELINES
from benchmarks.networks.transformers_baselines import TRANSFORMERS_BASELINES

REFERENCE = "ciae_r50_800"
"""Name of the network that the others are compared with."""
BASELINES: dict[str, Builder] = CIAE_BASELINES | TORCHVISION_BASELINES | TRANSFORMERS_BASELINES
PACKAGES = dict.fromkeys(TRANSFORMERS_BASELINES, ("transformers", "scipy"))
"""Packages that a network needs beyond requirements.txt."""


class NotInstalledError(Exception):
    """A package that a network needs is missing; the message names it."""


def build(name: str, setup: Setup) -> Baseline:
    """Build a network with reproducible random weights.

    Raises:
        NotInstalledError: a package that it needs is missing.
    """
    missing = [package for package in PACKAGES.get(name, ()) if util.find_spec(package) is None]
    if missing:
        raise NotInstalledError(f"{' and '.join(missing)} not installed: pip install -r requirements-models.txt")
    torch.manual_seed(0)
    return BASELINES[name](setup)
