# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Orderly shutdown of a ROS process by signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import install_signal_handlers, uninstall_signal_handlers


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Leave the block without an exception on an interruption or shutdown of ROS; later signals are ignored.

    Ctrl-C under `ros2 launch` reaches a node twice: from the terminal and from the launcher.
    """
    uninstall_signal_handlers()
    signal.signal(signal.SIGINT, _interrupt_once)
    install_signal_handlers()  # ROS handles the signal first and forwards it.
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal shuts ROS down immediately, even during a call, which then fails without a context.
        if rclpy.ok():
            raise
    finally:
        uninstall_signal_handlers()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _do_nothing)
    raise KeyboardInterrupt


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Ignore the signal; unlike `SIG_IGN` this keeps ROS's own handler in place."""
