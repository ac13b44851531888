# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Training losses, their targets, and the update of the category memory (Eq. 3 to 15)."""
