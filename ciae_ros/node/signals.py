# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Ending a ROS process in an orderly way."""

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
    """Leave the block quietly when the process is interrupted or ROS is shut down; nothing interrupts what follows.

    Ctrl-C under `ros2 launch` reaches a node twice: from the terminal, and from the launcher.
    """
    uninstall_signal_handlers()
    signal.signal(signal.SIGINT, _interrupt_once)
    install_signal_handlers()  # ROS hears of the signal first, and passes it on.
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal shuts ROS down at once, also in the middle of a call that then finds no context.
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
    """Unlike `SIG_IGN` this leaves ROS's own handler in place."""
