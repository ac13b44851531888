# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a converted or measured network depends on: its weights, the packages, and the source code of the network."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import metadata, resources

from ciae_ros.inference.loading.checkpoint import UNTRAINED, Checkpoint

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the export to ONNX needs (requirements-onnx.txt)."""


def weights_digest(checkpoint: Checkpoint) -> str:
    """Return a digest of the file, or of the weights of a model without one."""
    if checkpoint.digest != UNTRAINED:
        return checkpoint.digest
    found = hashlib.sha256(json.dumps(checkpoint.config.to_dict()).encode())
    for tensor in checkpoint.model.state_dict().values():
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages, empty if not installed, and a digest of the source code of the network."""
    found = {"network": _source_digest()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


@cache
def _source_digest() -> str:
    """Return a digest of the modules that define the network and its conversion."""
    found = hashlib.sha256()
    for package in ("ciae_ros.model", "ciae_ros.inference.conversion"):
        files = [each for each in resources.files(package).iterdir() if each.name.endswith(".py")]
        for file in sorted(files, key=lambda each: each.name):
            found.update(file.read_bytes())
    return found.hexdigest()[:12]
