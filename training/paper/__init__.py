# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tables I to X of the paper: their rows, how each is trained and evaluated, and what came of it."""
