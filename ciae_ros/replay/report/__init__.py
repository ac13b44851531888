# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reports of runs: self-contained HTML pages, and files for programs."""

from ciae_ros.replay.report.comparison_page import write_comparison
from ciae_ros.replay.report.run_page import write_report

__all__ = ["write_comparison", "write_report"]
