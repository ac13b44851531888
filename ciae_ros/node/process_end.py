# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The end of the node's process: who asks for it, with which exit code, and within which time it comes."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from ciae_ros.node.exit_codes import INTERNAL_ERROR, ORDERLY_END

LAST_WORDS = 5.0
"""Seconds that the process has for an orderly end after a failure: what hangs on the device may hang for ever."""


class ProcessEnd:
    """Whether the process is to end, and with which exit code. May be used from any thread."""

    def __init__(self) -> None:
        self.exit_code = ORDERLY_END
        self.fault = ""
        """Why the process cannot go on; empty before a failure, and after a refusal, which has been told already."""
        self._lock = threading.Lock()
        self._requested = threading.Event()

    def request(self, exit_code: int = ORDERLY_END, fault: str = "") -> bool:
        """Ask for the end; True if the exit code is taken over: that of the first fault, else of the first request.

        After a fault the process ends within `LAST_WORDS` seconds even if nobody waits for requests.
        """
        with self._lock:
            if self.fault or (self._requested.is_set() and not fault):
                return False
            self.exit_code, self.fault = exit_code, fault
            if fault:
                end_process_after(LAST_WORDS, exit_code)
            self._requested.set()
            return True

    def wait(self) -> None:
        """Until somebody asks for the end. A signal interrupts it whatever other threads do."""
        self._requested.wait()


def end_process_after(seconds: float, exit_code: int) -> None:
    """End the process after so many seconds, even if other threads, the device or the reader of its output hang."""
    timer = threading.Timer(seconds, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()


def end_process(exit_code: int) -> None:
    """End the process at once. The interpreter's own end would wait for threads, and call the device once more."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(exit_code)


class NodeExecutor(SingleThreadedExecutor):
    """An executor for a node whose subscriptions and publishers are destroyed on other threads.

    rclpy's own raises `InvalidHandle` when the QoS events of a topic are destroyed while it collects what to wait for.
    """

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As rclpy's; collects anew, without what has been destroyed. What callbacks raise is not affected."""
        while True:
            try:
                return super().wait_for_ready_callbacks(*args, **kwargs)
            except InvalidHandle:
                continue


def serve(node: Node, end: ProcessEnd, fail: Callable[[int, str], None]) -> None:
    """Have an executor on a thread of its own call the node back.

    Args:
        node: which nobody serves yet.
        end: is requested when ROS is shut down.
        fail: called after an exception in a callback, or on any other thread that does not handle it, with the exit
            code and what happened.
    """
    executor = NodeExecutor()
    executor.add_node(node)

    def fail_after(error: BaseException | None) -> None:
        # A signal shuts ROS down at once, also in the middle of a call that then finds no context.
        if error is not None and rclpy.ok(context=node.context):
            text = "".join(traceback.format_exception(error))
            node.get_logger().fatal(f"an exception on the thread {threading.current_thread().name}:\n{text}")
            fail(INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error}")

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            # So that nobody waits for what it would have done; rclpy takes None, whatever its annotation says.
            node.executor = None  # type: ignore[assignment]
            fail_after(error)
        end.request()

    threading.excepthook = lambda unhandled: fail_after(unhandled.exc_value)
    threading.Thread(target=spin, name="ciae-executor", daemon=True).start()
