# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Panoptic segmentation of camera streams with category- and instance-aware pixel embeddings (CIAE)."""

__version__ = "0.2.0"
