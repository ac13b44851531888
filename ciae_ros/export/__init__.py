# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Export of checkpoints to ONNX, for ONNX Runtime and TensorRT; see `python -m ciae_ros.export --help`."""
