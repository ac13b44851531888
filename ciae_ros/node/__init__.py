# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The ROS 2 node. Only this package, `ciae_ros.demo` and `ciae_ros.replay.playback` import ROS."""
