# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Exit codes of `panoptic_node`, those of sysexits.h, and which of them make a new start worthwhile."""

from __future__ import annotations

import os

ORDERLY_END = os.EX_OK
"""It was interrupted, or ROS was shut down."""

REFUSAL = os.EX_CONFIG
"""A parameter, the model, the device, a name or a right does not fit (78): a new start would end in the same way."""

INTERNAL_ERROR = os.EX_SOFTWARE
"""An exception that nobody expected (70)."""

DEVICE_FAILURE = os.EX_TEMPFAIL
"""The device is lost, or did not answer within its time (75)."""

FINAL = frozenset({ORDERLY_END, REFUSAL})
"""After all other codes, also those of signals and of Python itself, the node is to be started again."""
