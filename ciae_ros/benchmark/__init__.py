# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`make bench`: what CIAE costs, stage by stage and beside other networks. Only `frame` needs ROS."""
