# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data sets in COCO's panoptic format: reading, augmentation, batches and checks."""
