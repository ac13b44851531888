# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Metrics: rows of tables from frames, and summaries of tables."""
