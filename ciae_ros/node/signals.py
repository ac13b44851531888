"""Ending a ROS process in an orderly way."""

from __future__ import annotations

import signal

from rclpy.signals import uninstall_signal_handlers


def ignore_further_signals() -> None:
    """From here on nothing interrupts the clean-up.

    Ctrl-C under `ros2 launch` reaches a node twice: from the terminal, and from the launcher.
    """
    uninstall_signal_handlers()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
