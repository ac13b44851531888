# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""All contestants of the benchmark `networks` by name, and which of them can be built here."""

from __future__ import annotations

from importlib import util

import torch

from ciae_ros.benchmark.ciae_contestant import CIAE_CONTESTANTS
from ciae_ros.benchmark.contestant import Builder, Contestant, Setup
from ciae_ros.benchmark.torchvision_contestant import TORCHVISION_CONTESTANTS
from ciae_ros.benchmark.transformers_contestants import TRANSFORMERS_CONTESTANTS

REFERENCE = "ciae_r50_800"
"""The others are compared with it."""
CONTESTANTS: dict[str, Builder] = CIAE_CONTESTANTS | TORCHVISION_CONTESTANTS | TRANSFORMERS_CONTESTANTS
PACKAGES = dict.fromkeys(TRANSFORMERS_CONTESTANTS, ("transformers", "scipy"))
"""What a contestant needs beyond requirements.txt."""


class NotInstalledError(Exception):
    """A package that a contestant needs is missing; the message names it."""


def build(name: str, setup: Setup) -> Contestant:
    """A contestant with the same random weights every time.

    Raises:
        NotInstalledError: it needs a package that is missing.
    """
    missing = [package for package in PACKAGES.get(name, ()) if util.find_spec(package) is None]
    if missing:
        raise NotInstalledError(f"{' and '.join(missing)} not installed: pip install -r requirements-bench.txt")
    torch.manual_seed(0)
    return CONTESTANTS[name](setup)
