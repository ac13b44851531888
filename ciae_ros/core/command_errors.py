# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How a command ends that cannot do its work: a line on the standard error, and an exit code."""

from __future__ import annotations

import sys

FAILED = 1
"""Exit code of a command that could not do its work."""


def reason_of(error: Exception) -> str:
    """Return what an exception says, in one line, without the numbers of the operating system's errors."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def report_failure(command: str, error: Exception) -> int:
    """Print why a command has failed, and return its exit code."""
    print(f"{command}: {reason_of(error)}", file=sys.stderr)
    return FAILED
