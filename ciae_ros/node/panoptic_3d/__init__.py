# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node `panoptic_3d`: labelled points and boxes from labels and depth or lidar points."""
