# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The network of a model, run by PyTorch, ONNX Runtime or OpenVINO."""
