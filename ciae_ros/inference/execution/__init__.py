# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The choice of the runtime and precision of a network, by measuring those that are available on this machine."""
