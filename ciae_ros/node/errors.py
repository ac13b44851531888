# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Errors that the node distinguishes, and how they are classified, described and logged."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import rclpy
from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from ciae_ros.node.exit_codes import DEVICE_FAILURE


class _FailingNode(Protocol):
    """A managed node that can end its process."""

    @property
    def context(self) -> Any: ...

    def fail(self, exit_code: int, fault: str) -> None: ...

    def get_logger(self) -> Any: ...


ManagedNode = TypeVar("ManagedNode", bound=_FailingNode)
Transition = Callable[[ManagedNode, LifecycleState], TransitionCallbackReturn]

ROS_CONFIGURATION_ERRORS = (
    rclpy_implementation.RCLError,
    rclpy_implementation.RCLInvalidROSArgsError,
    NameValidationException,
)
"""Exceptions of ROS for invalid arguments, names, parameter files and permissions."""


class DeviceLostError(Exception):
    """The device no longer responds, or its results can no longer be trusted."""


class DeviceHungError(Exception):
    """The device has not responded in time."""


def describe_error(error: Exception) -> str:
    """Format an error with the place where it was raised, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" (in {last[0].name}, {last[0].filename}:{last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def log_transition_errors(transition: Transition[ManagedNode]) -> Transition[ManagedNode]:
    """Log exceptions in a transition, which rclpy turns into an error silently."""

    @functools.wraps(transition)
    def call(node: ManagedNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except DeviceHungError as error:
            node.fail(DEVICE_FAILURE, str(error))
        except Exception as error:
            # After a shutdown of ROS such errors are expected.
            if rclpy.ok(context=node.context):
                node.get_logger().error(f"{transition.__name__} failed: {error}\n{traceback.format_exc()}")
        return TransitionCallbackReturn.ERROR

    return call
