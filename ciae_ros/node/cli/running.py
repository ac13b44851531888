# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The life of a process with managed nodes, from the command line to its exit code."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence

import rclpy

from ciae_ros.node.cli.startup import REFUSALS, refuse
from ciae_ros.node.errors import DeviceHungError, describe_error
from ciae_ros.node.exit_codes import DEVICE_FAILURE, INTERNAL_ERROR, NORMAL_EXIT
from ciae_ros.node.lifecycle.managed_node import ManagedNode
from ciae_ros.node.lifecycle.process_end import (
    SHUTDOWN_TIMEOUT,
    ProcessEnd,
    end_process,
    end_process_after,
    serve,
)
from ciae_ros.node.lifecycle.signals import until_interrupted

CreateNodes = Callable[[ProcessEnd], Sequence[ManagedNode]]
"""Creates the nodes of a process, which share its end."""


def run_nodes(executable: str, args: Sequence[str] | None, create: CreateNodes) -> int:
    """Run nodes until they are interrupted, ROS shuts down, or one of them fails.

    Args:
        executable: its name, for messages.
        args: arguments of the command line for ROS; None: those of the process.
        create: creates the nodes.

    Returns:
        `NORMAL_EXIT`, or `CONFIGURATION_ERROR` if an argument, a parameter, the model or the device cannot be used.
        After a failure of the device or of a node itself the process ends here, with `DEVICE_FAILURE` or
        `INTERNAL_ERROR`.
    """
    end = ProcessEnd()
    nodes: Sequence[ManagedNode] = ()
    executor: threading.Thread | None = None
    exit_code = NORMAL_EXIT
    try:
        rclpy.init(args=None if args is None else list(args))
        with until_interrupted():
            nodes = create(end)
            # All parameters are read before the first node starts.
            for node in [node for node in nodes if node.autostart]:
                node.start()
            executor = serve(nodes, end, nodes[0].fail)
            end.wait()
    except REFUSALS as error:
        exit_code = refuse(executable, error)
    except Exception:
        traceback.print_exc()
        end_process(INTERNAL_ERROR)
    if nodes:
        exit_code = _leave(nodes, end) or exit_code
    rclpy.try_shutdown()
    if executor is not None:
        executor.join(SHUTDOWN_TIMEOUT)
        if executor.is_alive():
            end_process(exit_code)
    return exit_code


def _leave(nodes: Sequence[ManagedNode], end: ProcessEnd) -> int:
    """Close the nodes and leave the ROS graph in bounded time; returns the exit code, or ends the process with it."""
    for node in nodes:
        _close(node)
    # While a model is loading there is nothing to close, and loading cannot be interrupted.
    may_hang = bool(end.fault) or any(node.is_configuring or node.is_saving for node in nodes)
    if may_hang:
        end_process_after(SHUTDOWN_TIMEOUT, end.exit_code)
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    if may_hang:
        end_process(end.exit_code)
    return end.exit_code


def _close(node: ManagedNode) -> None:
    if node.end.fault:
        node.flush_responses()
    elif not node.is_configuring:
        try:
            node.close_after_transition()
        except DeviceHungError as error:
            node.fail(DEVICE_FAILURE, str(error))
        except Exception as error:
            node.fail(INTERNAL_ERROR, f"internal error while ending: {describe_error(error)}")
