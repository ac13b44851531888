# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Trained models that come with the package, each with its model card beside it."""
