# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Exit codes of `panoptic_node`, from sysexits.h, and which of them justify a restart."""

from __future__ import annotations

import os

NORMAL_EXIT = os.EX_OK
"""The process was interrupted, or ROS was shut down (0)."""

CONFIGURATION_ERROR = os.EX_CONFIG
"""A parameter, the model, the device, a name or a permission is invalid (78): a restart would fail in the same way."""

INTERNAL_ERROR = os.EX_SOFTWARE
"""An unexpected exception (70)."""

DEVICE_FAILURE = os.EX_TEMPFAIL
"""The device is lost or has not responded in time (75)."""

NO_RESTART = frozenset({NORMAL_EXIT, CONFIGURATION_ERROR})
"""Codes after which the node must not be restarted; after all others, including signals, it should be."""
