# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What all benchmarks share: options, interleaved timing, results, plots and input images."""
