# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How good a network's panoptic results are: PQ, mIoU and AP."""
