# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Converted networks in the user's cache, by weights, size of the input and versions."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ciae_ros.core.user_cache import cache_folder, cached
from ciae_ros.inference.conversion.versions import ONNX_PACKAGES, versions, weights_digest
from ciae_ros.inference.loading.checkpoint import Checkpoint

FOLDER = "models"


def openvino_model(checkpoint: Checkpoint) -> Path:
    """Return the .xml file of the network in OpenVINO's format, which is converted at first use.

    Raises:
        CheckpointError, ExportError: as `convert_to_openvino`.
    """

    def write(folder: Path) -> None:
        # Imported here because they need the network in PyTorch, which is slow to import.
        from ciae_ros.inference.conversion.openvino_conversion import convert_to_openvino  # noqa: PLC0415

        folder.mkdir()
        convert_to_openvino(checkpoint, folder / "model.xml")

    key = {"weights": weights_digest(checkpoint), **versions("torch", "timm", "openvino")}
    return _in_cache(_file_name(checkpoint, "openvino", key), write) / "model.xml"


def onnx_model(checkpoint: Checkpoint, size: tuple[int, int], input_size: int, precision: str) -> Path:
    """Return the .onnx file of the network for one size of its input, which is exported at first use.

    Args:
        checkpoint: not modified.
        size: (height, width) of the input in pixels, padding included.
        input_size: length in pixels to which an image's shorter side is resized.
        precision: fp32 or fp16.

    Raises:
        ExportError: as `export_onnx`.
    """
    key = {
        "weights": weights_digest(checkpoint),
        "size": f"{size[0]}x{size[1]}",
        "input_size": str(input_size),
        "precision": precision,
        **versions("torch", "timm", *ONNX_PACKAGES),
    }
    name = _file_name(checkpoint, f"{size[0]}x{size[1]}", key) + ".onnx"

    def write(path: Path) -> None:
        from ciae_ros.inference.conversion.onnx_export import export_onnx  # noqa: PLC0415 (as above)

        export_onnx(checkpoint, path, size, input_size, precision)

    return _in_cache(name, write)


def _file_name(checkpoint: Checkpoint, kind: str, key: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", checkpoint.name)[:60]
    return f"{readable}-{kind}-{digest}"


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ciae_ros-models-")


def _in_cache(name: str, write: Callable[[Path], None]) -> Path:
    """Return the entry of this name; without a cache that can be written, it exists until this process ends."""
    folder = cache_folder(FOLDER)
    try:
        return cached(folder / name, write)
    except OSError as error:
        logging.getLogger(__name__).warning(
            "the cache %s cannot be written (%s): the network is converted again at every start; set XDG_CACHE_HOME to "
            "a folder that can be written",
            folder,
            error.strerror,
        )
    return cached(Path(_temporary_folder().name) / name, write)
