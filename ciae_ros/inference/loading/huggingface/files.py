# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The files of a model in the Hugging Face layout, from a local folder, the local cache or the hub."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.reference import ModelReference

PATTERNS = ["*.json", "*.safetensors", "merges.txt", "vocab.txt"]
"""Configuration, weights and vocabularies; pickles and code are never downloaded."""


WEIGHT_INDEX = "model.safetensors.index.json"
"""Lists the files of weights that are divided into several."""


def local_folder(reference: ModelReference) -> Path:
    """Return the folder with the files of a model, from the cache if they are there, or else downloaded to it.

    Raises:
        CheckpointError: there is no such model, or it cannot be downloaded.
    """
    if reference.is_on_hub:
        return _cached_folder(reference)
    folder = Path(reference.location)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: give a folder that save_pretrained or hf download wrote")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if the file does not exist.

    Raises:
        CheckpointError: the file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): download the model again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object: download the model again")
    return content


def weight_names(folder: Path) -> list[str]:
    """Return the names that the files with the weights should have."""
    index = read_json(folder / WEIGHT_INDEX)
    return sorted(set(index.get("weight_map", {}).values())) or ["model.safetensors"]


def weight_files(folder: Path, reference: ModelReference) -> list[Path]:
    """Return the files with the weights.

    Raises:
        CheckpointError: there are none, they are pickles, or one is missing.
    """
    names = weight_names(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return [folder / name for name in names]
    if (folder / WEIGHT_INDEX).is_file():
        raise CheckpointError(f"{reference} is incomplete, {missing[0]} is missing: download it again")
    raise CheckpointError(
        f"{reference} has no weights in safetensors files, and pickles, which can contain code, are not loaded: choose "
        "a revision that has them, such as @refs/pr/1, or convert them: https://huggingface.co/spaces/safetensors/convert"
    )


def read_tensors(files: list[Path]) -> dict[str, Tensor]:
    """Read all tensors of safetensors files.

    Raises:
        CheckpointError: a file is corrupt.
    """
    tensors = {}
    for file in files:
        try:
            tensors.update(load_file(file))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file} is not a safetensors file or is corrupt ({error}): download it again"
            ) from None
    return tensors


def digest_of(files: list[Path]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the files' contents."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


class _Progress(tqdm):
    """A progress bar that is shown on terminals only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "disable": None})


def _cached_folder(reference: ModelReference) -> Path:
    import huggingface_hub as hub  # noqa: PLC0415 (optional dependency)
    from huggingface_hub import errors  # noqa: PLC0415

    name, repository = str(reference), reference.location
    wanted: dict[str, Any] = {"repo_id": repository, "revision": reference.revision, "allow_patterns": PATTERNS}
    try:
        cached = Path(hub.snapshot_download(**wanted, local_files_only=True))
        if _is_complete(cached):
            return cached
    except errors.LocalEntryNotFoundError:
        pass
    except errors.HFValidationError as error:
        raise CheckpointError(f"{name} is not the name of a model on the Hugging Face hub: {_line(error)}") from None
    logging.getLogger(__name__).warning("downloading %s to %s", name, hub.constants.HF_HUB_CACHE)
    try:
        return Path(hub.snapshot_download(**wanted, tqdm_class=_Progress))
    except errors.GatedRepoError:
        reason = f"is gated: accept its terms at https://huggingface.co/{repository}, then type hf auth login"
    except errors.RepositoryNotFoundError:
        reason = "does not exist on the hub, or is private: correct the name, or type hf auth login"
    except errors.RevisionNotFoundError:
        reason = f"does not exist: {repository} has no revision {reference.revision}"
    except errors.LocalEntryNotFoundError:
        reason = (
            "is not in the local cache, and the hub cannot be reached: connect, or copy the cache of a machine on "
            f"which you type hf download {repository}"
        )
    except Exception as error:  # Those of the file system and of the HTTP library have no common base class.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = (
                f"cannot be downloaded: no space is left in {hub.constants.HF_HUB_CACHE}; free some, or set HF_HOME to "
                "a folder on another disk"
            )
        else:
            reason = f"cannot be downloaded: {_line(error)}"
    raise CheckpointError(f"{name} {reason}")


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and all((folder / name).is_file() for name in weight_names(folder))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
