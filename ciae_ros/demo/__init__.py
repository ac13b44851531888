# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`make demo`: real video through the player, the node and a recorder, as processes that talk over DDS."""
