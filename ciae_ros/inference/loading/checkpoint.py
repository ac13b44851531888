# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Checkpoint files: weights, configuration, categories and memory as safetensors, which cannot contain code."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.categories import CategorySet
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory

if TYPE_CHECKING:
    from ciae_ros.model import CIAE

FORMAT = "ciae-1"

MEMORY_VECTORS = "memory.vectors"
"""Name of the tensor with the memory."""

UNTRAINED = "untrained"
"""Digest of a model with random weights, which has no file."""


@dataclass(frozen=True)
class Calibration:
    """The images on which the thresholds of a model were chosen, on which its scores are therefore too high."""

    data: str
    """File name of their annotations."""
    images: frozenset[str]
    """A digest of each image file."""

    def to_json(self) -> str:
        """Return the JSON object of the metadata."""
        return json.dumps({"data": self.data, "images": sorted(self.images)})

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read the JSON object of the metadata.

        Raises:
            KeyError, TypeError or ValueError: it is not one.
        """
        content = json.loads(text)
        return cls(str(content["data"]), frozenset(map(str, content["images"])))


@dataclass(frozen=True)
class StoredNetwork:
    """A network in a checkpoint file, which is built when it is needed: a converted one may run in its place."""

    path: Path
    config: ModelConfig
    memory: CategoryMemory

    def build(self) -> CIAE:
        """Build the network on the CPU, in float32 and in evaluation mode.

        Raises:
            CheckpointError: the weights do not fit the configuration.
        """
        # Imported here because torchvision takes a second.
        from ciae_ros.model.ciae import CIAE  # noqa: PLC0415

        try:
            model = CIAE(self.config)
            model.load_state_dict({key: value.float() for key, value in _read(self.path)[1].items()})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path} does not describe a valid model: {error}") from None
        except RuntimeError as error:
            first_line = next((line.strip() for line in str(error).splitlines()[1:]), str(error))
            raise CheckpointError(f"the weights in {self.path} do not fit its configuration: {first_line}") from None
        return model.eval()


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to interpret its outputs."""

    name: str
    """Human-readable; published with the results and shown in reports."""
    network: CIAE | StoredNetwork
    categories: CategorySet
    digest: str
    """First 12 hexadecimal digits of the file's SHA-256, or `UNTRAINED`."""
    settings: InferenceSettings = field(default_factory=InferenceSettings)
    """Default thresholds for the model."""
    calibration: Calibration | None = None
    """The images on which the thresholds were chosen; None if they were not chosen on images."""

    @property
    def config(self) -> ModelConfig:
        return self.network.config

    @property
    def memory(self) -> CategoryMemory:
        """On the CPU, unless the network has been moved."""
        return self.network.memory

    @cached_property
    def model(self) -> CIAE:
        """The network, which is built at the first use.

        Raises:
            CheckpointError: the weights do not fit the configuration.
        """
        return self.network.build() if isinstance(self.network, StoredNetwork) else self.network

    def __post_init__(self) -> None:
        config = self.config
        expected = config.num_stuff_classes, config.num_thing_classes
        found = len(self.categories.stuff), len(self.categories.things)
        if found != expected:
            raise CheckpointError(
                f"the model has {expected[0]} stuff and {expected[1]} thing classes, its categories are "
                f"{found[0]} stuff and {found[1]} things: use the categories that it was trained with"
            )


def save_checkpoint(
    path: Path,
    name: str,
    model: CIAE,
    categories: CategorySet,
    settings: InferenceSettings | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Write a checkpoint atomically."""
    metadata = {
        "format": FORMAT,
        "name": name,
        "config": json.dumps(model.config.to_dict()),
        "categories": json.dumps(categories.to_coco()),
        **_threshold_metadata(settings or InferenceSettings(), calibration),
    }
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with open_atomically(path) as file:
        file.write(save(tensors, metadata))


def copy_with_settings(source: Path, target: Path, settings: InferenceSettings, calibration: Calibration) -> None:
    """Write a copy of a checkpoint with other thresholds atomically; weights and name stay as they are.

    Args:
        source: a valid checkpoint.
        target: path of the copy, which may be the same.
        settings: the thresholds.
        calibration: the images on which they were chosen.

    Raises:
        OSError: the file cannot be read or written.
    """
    metadata, tensors = _read(source)
    metadata |= _threshold_metadata(settings, calibration)
    with open_atomically(target) as file:
        file.write(save(tensors, metadata))


def _threshold_metadata(settings: InferenceSettings, calibration: Calibration | None) -> dict[str, str]:
    metadata = {"settings": json.dumps(asdict(settings))}
    return metadata | ({"calibration": calibration.to_json()} if calibration else {})


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the metadata and the tensors of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is not a dict)
        return file.metadata() or {}, state


def load_checkpoint(path: Path, build: bool = True) -> Checkpoint:
    """Load and validate a checkpoint; the model is on the CPU, in float32 and in evaluation mode.

    Args:
        path: path of the file.
        build: build the network now. Otherwise `Checkpoint.model` does, and checks whether the weights fit.

    Raises:
        CheckpointError: no such file, not a checkpoint of this package, or weights that do not fit its configuration
            or are not finite.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of a .safetensors file")
    try:
        metadata, state = _read(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file or is corrupt ({error}): copy it again") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint of this version: format {metadata.get('format')!r}, not {FORMAT!r}"
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        categories = CategorySet.from_coco(json.loads(metadata["categories"]))
        settings = InferenceSettings(**json.loads(metadata.get("settings", "{}")))
        calibration = Calibration.from_json(metadata["calibration"]) if "calibration" in metadata else None
        memory = CategoryMemory(config)
        memory.vectors.copy_(state[MEMORY_VECTORS])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not describe a valid model: {error}") from None
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its configuration: {error}") from None
    not_finite = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if not_finite is not None:
        raise CheckpointError(
            f"{path} contains weights that are not finite ({not_finite}): use a checkpoint of an earlier iteration"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    network = StoredNetwork(path, config, memory)
    found = Checkpoint(metadata.get("name", path.stem), network, categories, digest, settings, calibration)
    if build:
        _ = found.model
    return found


def untrained_checkpoint(name: str, config: ModelConfig, categories: CategorySet) -> Checkpoint:
    """Create a model with random weights, always the same ones, which exercises the data path."""
    # Imported here because torchvision takes a second.
    from ciae_ros.model.ciae import CIAE  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CIAE(config).eval()
    return Checkpoint(f"{name} (untrained)", model, categories, UNTRAINED)
