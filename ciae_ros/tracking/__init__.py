# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Identities of things through time, without ROS and without PyTorch."""
