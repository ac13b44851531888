# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Training and evaluation of CIAE. Needs no ROS."""
