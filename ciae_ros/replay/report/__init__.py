# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reports of runs as pages that need nothing but a browser, and as files for programs."""

from ciae_ros.replay.report.comparison import write_comparison
from ciae_ros.replay.report.report import write_report

__all__ = ["write_comparison", "write_report"]
