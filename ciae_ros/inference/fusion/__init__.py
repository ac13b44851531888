# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fusion: every pixel is assigned to an instance or a stuff class (Eq. 16), on CPU and CUDA."""
