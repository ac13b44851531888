# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation runs: plan, shards, lock-step segmentation and the run folder."""
