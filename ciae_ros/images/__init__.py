# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images from cameras: what messages hold, checked and converted. Needs no ROS."""
