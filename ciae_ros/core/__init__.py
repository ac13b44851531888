# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Types and formats that the node, replay and training share. Needs neither ROS nor the network."""
