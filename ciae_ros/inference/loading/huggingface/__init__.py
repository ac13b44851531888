# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Panoptic networks of the library transformers: references, files, classes, input format and weights."""
