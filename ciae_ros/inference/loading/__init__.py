# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Loading of models: checkpoints, exported ONNX models, and models by name."""
