# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Import of ONNX Runtime and OpenVINO, which are optional, without the telemetry that both enable by default."""

from __future__ import annotations

import os
import sys
from typing import Any

from ciae_ros.inference.loading.errors import CheckpointError


def import_onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises:
        CheckpointError: it is not installed.
    """
    # Since 1.29 it reports each session to its vendor, and identifies the machine by a file in the user's cache.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointError(
            f"ONNX Runtime cannot be imported ({error}): type pip install onnxruntime, for CUDA onnxruntime-gpu"
        ) from None
    return onnxruntime


def import_openvino() -> Any:
    """Import OpenVINO.

    Raises:
        CheckpointError: it is not installed.
    """
    # It reports each import to its vendor by this package, and uses a stub if the package is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointError(f"OpenVINO cannot be imported ({error}): type pip install openvino") from None
    return openvino
