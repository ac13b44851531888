# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Recorded bags in, a verdict that people can look at out. Needs no ROS; see `python -m ciae_ros.replay --help`."""
