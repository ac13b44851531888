# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The error of invalid parameters."""


class ParameterError(Exception):
    """An invalid parameter; the one-line message names it and what to set."""
