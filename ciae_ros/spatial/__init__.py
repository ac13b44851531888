# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labelled points, boxes and transforms in three dimensions, without ROS."""
