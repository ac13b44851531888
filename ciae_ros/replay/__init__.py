# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of models on recorded bags; see `python -m ciae_ros.replay --help`. Only `playback` needs ROS 2."""
