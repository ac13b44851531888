# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Refusal of a start with a line on the standard error, for all executables."""

from __future__ import annotations

import re
import sys

from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation

from ciae_ros.node.errors import ROS_CONFIGURATION_ERRORS
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from ciae_ros.node.parameters.errors import ParameterError

REFUSALS = (
    ParameterError,
    # Of use_sim_time and other parameters that ROS declares.
    ParameterException,
    rclpy_implementation.UnknownROSArgsError,
    *ROS_CONFIGURATION_ERRORS,
)
"""Exceptions for invalid arguments, parameter files, parameters and names."""
SOURCE_LINE = re.compile(r",? at \S+\.c(pp)?:\d+")
"""Places in the source code of ROS, at the end of its messages."""


def refuse(executable: str, error: Exception) -> int:
    """Print why an executable does not start, and return its exit code."""
    reason = SOURCE_LINE.sub("", " ".join(str(error).split()))
    if isinstance(error, rclpy_implementation.UnknownROSArgsError):
        reason = f"unknown ROS arguments: {reason}"
    elif isinstance(error, ParameterException):
        reason = f"invalid parameter: {reason}"
    elif "initialize logging" in reason:
        reason += "; set ROS_LOG_DIR to a folder that can be written"
    print(f"{executable}: {reason}", file=sys.stderr)
    return CONFIGURATION_ERROR
