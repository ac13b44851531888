# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The check of a CUDA device: tests, accuracy and benchmarks in one command."""
