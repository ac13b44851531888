# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""rosbag2 files, read and written without ROS."""
