# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of a checkpoint's network for ONNX Runtime and OpenVINO, and the cache of converted models."""
