# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The source of an instance's category, which Table IV compares on one model."""

from __future__ import annotations

from dataclasses import replace

from ciae_ros.inference import Checkpoint
from ciae_ros.model.config import InstanceCategory


def use_instance_category(checkpoint: Checkpoint, instance_category: InstanceCategory) -> None:
    """Change the source of the categories, before a predictor is built from the checkpoint.

    Raises:
        ValueError: the memory of the model does not contain the thing classes.
    """
    checkpoint.model.config = replace(checkpoint.model.config, instance_category=instance_category)
