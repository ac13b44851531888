# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The CIAE network, from images to raw outputs. Requires only PyTorch and torchvision."""

from ciae_ros.model.ciae import CIAE, RawOutputs
from ciae_ros.model.config import PRESETS, ModelConfig

__all__ = ["CIAE", "PRESETS", "ModelConfig", "RawOutputs"]
