# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labelling of recordings by teachers, and the review of their labels."""
