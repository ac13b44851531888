# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints to ONNX files, for ONNX Runtime and TensorRT: see `python -m ciae_ros.export --help`."""
