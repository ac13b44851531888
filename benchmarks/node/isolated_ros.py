# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""ROS in this process, isolated from other nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy

from ciae_ros.core.processes import environment_of_this_process, isolated_ros_environment


@contextmanager
def isolated_ros() -> Iterator[None]:
    """Initialise ROS in a domain that is reserved while the context lasts, also for child processes."""
    with isolated_ros_environment() as environment, environment_of_this_process(environment):
        rclpy.init()
        try:
            yield
        finally:
            rclpy.try_shutdown()
