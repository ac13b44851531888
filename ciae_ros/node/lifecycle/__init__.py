# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Managed nodes, their worker threads, and the orderly end of their process."""
