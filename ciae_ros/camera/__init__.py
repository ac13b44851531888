# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Camera images: topics, checks, conversion and decoding, and other image sources. Needs no ROS at run time."""
