# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Rendered scenes with exact ground truth: a drive through a street, by MuJoCo."""

import os

# Read by MuJoCo when it is imported: render without a display.
os.environ.setdefault("MUJOCO_GL", "egl")
