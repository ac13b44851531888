# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The CIAE network, from images to raw outputs. Requires only PyTorch and torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ciae_ros.model.config import PRESETS, ModelConfig
from ciae_ros.model.raw_outputs import RawOutputs

if TYPE_CHECKING:
    from ciae_ros.model.ciae import CIAE

__all__ = ["CIAE", "PRESETS", "ModelConfig", "RawOutputs"]


def __getattr__(name: str) -> Any:
    """Import the network when it is first used, because torchvision takes a second, and a converted one needs none."""
    if name != "CIAE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ciae_ros.model.ciae import CIAE  # noqa: PLC0415

    return CIAE
