# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation through the running node: bags are played and the node's responses measured."""
