# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The error of a checkpoint that cannot be converted."""

from ciae_ros.inference.loading.errors import CheckpointError


class ExportError(CheckpointError):
    """A checkpoint that cannot be exported or converted; the one-line message states the reason and the remedy."""
