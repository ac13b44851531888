# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The training engine: step, state, optimisation, schedule, monitoring, validation and builders."""
