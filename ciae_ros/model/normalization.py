# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Group normalisation as the heads use it (reference [47] of the paper)."""

from __future__ import annotations

from torch import nn


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or fewer where they would hold under 4 channels each; `channels` is a multiple of 32."""
    return nn.GroupNorm(min(32, channels // 4), channels)
