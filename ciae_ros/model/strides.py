# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Strides of the network's maps in pixels of its input."""

from __future__ import annotations

FEATURE_STRIDES = (4, 8, 16, 32)
"""Strides of the backbone's features C2 to C5."""
PYRAMID_STRIDES = (4, 8, 16, 32, 64, 128)
"""Strides of P2 to P7."""
PROPOSAL_STRIDES = PYRAMID_STRIDES[1:]
"""Strides of P3 to P7, which propose instances."""
SIZE_DIVISOR = 32
"""Input heights and widths must be multiples of this, so that P2 to P5 are aligned."""
