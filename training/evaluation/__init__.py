# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of panoptic results: PQ, mIoU and AP."""
