# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Instance proposals from the detection outputs: candidates, thresholds and non-maximum suppression (Sec. IV-C)."""
