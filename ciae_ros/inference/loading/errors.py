# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The error of a model that cannot be used."""


class CheckpointError(Exception):
    """A model that cannot be used; the one-line message states the reason and the remedy."""
