# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The CIAE network: images to raw outputs. Needs PyTorch and torchvision only."""

from ciae_ros.model.ciae import CIAE, RawOutputs
from ciae_ros.model.config import PRESETS, ModelConfig

__all__ = ["CIAE", "PRESETS", "ModelConfig", "RawOutputs"]
