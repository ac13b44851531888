# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Shutdown of the node's process: requests, exit codes and time limits."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from ciae_ros.node.exit_codes import INTERNAL_ERROR, NORMAL_EXIT

SHUTDOWN_TIMEOUT = 5.0
"""Maximum seconds for an orderly shutdown after a failure, because a call to the device may hang forever."""


class ProcessEnd:
    """The request to end the process, with its exit code. Thread-safe."""

    def __init__(self) -> None:
        self.exit_code = NORMAL_EXIT
        self.fault = ""
        """Why the process must end; empty without a failure or after a configuration error, which is already logged."""
        self._lock = threading.Lock()
        self._requested = threading.Event()

    def request(self, exit_code: int = NORMAL_EXIT, fault: str = "") -> bool:
        """Request the end of the process; the first fault, or else the first request, determines the exit code.

        After a fault the process ends within `SHUTDOWN_TIMEOUT` even if no thread waits for requests.

        Returns:
            Whether the exit code was accepted.
        """
        with self._lock:
            if self.fault or (self._requested.is_set() and not fault):
                return False
            self.exit_code, self.fault = exit_code, fault
            if fault:
                end_process_after(SHUTDOWN_TIMEOUT, exit_code)
            self._requested.set()
            return True

    def wait(self) -> None:
        """Wait until the end is requested. A signal interrupts the wait in any case."""
        self._requested.wait()


def end_process_after(seconds: float, exit_code: int) -> None:
    """End the process after a delay, even if other threads, the device or the reader of its output hang."""
    timer = threading.Timer(seconds, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()


def end_process(exit_code: int) -> None:
    """End the process at once, without joining threads or calling the device as the interpreter would at exit."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(exit_code)


class NodeExecutor(SingleThreadedExecutor):
    """An executor for a node whose subscriptions and publishers are destroyed on other threads.

    rclpy's executor raises `InvalidHandle` if QoS events of a topic are destroyed while it builds its wait set.
    """

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Wait as rclpy does, but rebuild the wait set if an entity was destroyed. Callbacks may raise as before."""
        while True:
            try:
                return super().wait_for_ready_callbacks(*args, **kwargs)
            except InvalidHandle:
                continue


def serve(nodes: Sequence[Node], end: ProcessEnd, fail: Callable[[int, str], None]) -> threading.Thread:
    """Serve nodes with an executor on its own thread.

    Args:
        nodes: nodes without an executor, at least one.
        end: requested when ROS is shut down.
        fail: called with exit code and fault after an unhandled exception in a callback or on any other thread.

    Returns:
        The thread, which ends after ROS has been shut down. The interpreter must not end before it: a thread that it
        stops within rclpy aborts the process.
    """
    executor = NodeExecutor()
    for node in nodes:
        executor.add_node(node)

    def fail_after(error: BaseException | None) -> None:
        # A signal shuts ROS down immediately, even during a call, which then fails without a context.
        if error is not None and rclpy.ok(context=nodes[0].context):
            text = "".join(traceback.format_exception(error))
            nodes[0].get_logger().fatal(f"an exception on the thread {threading.current_thread().name}:\n{text}")
            fail(INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error}")

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            # So that no thread waits for this executor; rclpy accepts None despite its annotation.
            for node in nodes:
                node.executor = None  # type: ignore[assignment]
            fail_after(error)
        end.request()

    threading.excepthook = lambda unhandled: fail_after(unhandled.exc_value)
    thread = threading.Thread(target=spin, name="ciae-executor", daemon=True)
    thread.start()
    return thread
