# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Backends: a network on a device, and how its outputs become segments."""
