# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Benchmarks of the pipeline and the running node; all except `pipeline` need ROS 2."""
