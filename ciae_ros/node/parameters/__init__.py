# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The parameters of `panoptic_node`, and the declaration of any node's parameters."""
