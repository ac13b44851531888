# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executables of the package: `panoptic_node` and `image_player`."""
