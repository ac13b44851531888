# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The ROS 2 node. Only this folder, `ciae_ros.demo` and replay through the node import ROS."""
