# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The roofline benchmark: stage times relative to the device's measured rates."""
