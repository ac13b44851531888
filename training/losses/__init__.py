# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Targets and losses: what the network should say, and how far off it is (Eq. 3 to 15)."""
