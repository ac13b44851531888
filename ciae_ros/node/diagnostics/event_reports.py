# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Counts and log lines of QoS events, which may repeat many times per second."""

from __future__ import annotations

import time

from rclpy.impl.rcutils_logger import RcutilsLogger

from ciae_ros.node.diagnostics.frame_statistics import FrameStatistics

LOG_PERIOD = 30.0
"""Minimum seconds between equal log lines."""


class EventReports:
    """Counts every event, and logs equal lines only now and then. It can be called as a `qos.Report`."""

    def __init__(self, statistics: FrameStatistics, logger: RcutilsLogger) -> None:
        """Take the statistics that count the events, and the logger of the lines."""
        self._statistics, self._logger = statistics, logger
        self._last_logged: dict[str, float] = {}

    def __call__(self, kind: str, times: int, line: str) -> None:
        """Report an event.

        Args:
            kind: what is counted.
            times: how often it has occurred since the last report.
            line: what is logged.
        """
        self._statistics.count_event(kind, times)
        now = time.monotonic()
        if now - self._last_logged.get(line, float("-inf")) > LOG_PERIOD:
            self._last_logged[line] = now
            self._logger.warning(line)
