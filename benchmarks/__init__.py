# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Benchmarks: the cost of CIAE by stage and next to other networks; see `python -m benchmarks --help`."""
