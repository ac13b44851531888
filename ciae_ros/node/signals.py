"""Ending a ROS process in an orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import uninstall_signal_handlers


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Leave the block quietly when the process is interrupted or ROS is shut down; nothing interrupts what follows.

    Ctrl-C under `ros2 launch` reaches a node twice: from the terminal, and from the launcher.
    """
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
