# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Weights that are differences from those of a DINOv3 backbone, whose licence does not allow to distribute them.

EoMT's authors publish their DINOv3 models so: all tensors of the backbone must be added to those of Meta's weights.
"""

from __future__ import annotations

import re

from torch import Tensor

from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.files import local_folder, read_tensors, weight_files
from ciae_ros.inference.loading.huggingface.reference import ModelReference, parse_reference

BACKBONE = re.compile(r"(embeddings|layers|layernorm)\.")
"""Beginning of the names of the backbone's tensors in transformers' EoMT."""

AUTHORS_NAMES = (
    (r"network\.encoder\.backbone\.patch_embed\.", "embeddings."),
    (r"network\.encoder\.backbone\.blocks\.", "layers."),
    (r"network\.encoder\.backbone\.norm\.", "layernorm."),
    (r"network\.q\.", "query."),
    (r"network\.class_head\.", "class_predictor."),
    (r"network\.mask_head\.0\.", "mask_head.fc1."),
    (r"network\.mask_head\.2\.", "mask_head.fc2."),
    (r"network\.mask_head\.4\.", "mask_head.fc3."),
    (r"network\.upscale\.(\d+)\.norm\.", r"upscale_block.block.\1.layernorm2d."),
    (r"network\.upscale\.(\d+)\.", r"upscale_block.block.\1."),
    (r"network\.attn_mask_probs", "attn_mask_probs"),
)
"""Names of tensors in the authors' files, and in transformers."""

BACKBONE_NAMES = ((r"layer\.", "layers."), (r"norm\.", "layernorm."))
"""Names of tensors in DINOv3's files, and in transformers' EoMT."""

UNUSED = ("embeddings.mask_token", "network.encoder.pixel_mean", "network.encoder.pixel_std")


def are_deltas(tensors: dict[str, Tensor]) -> bool:
    """Whether the tensors have the names of the authors' files."""
    return any(name.startswith("network.") for name in tensors)


def add_base(tensors: dict[str, Tensor], reference: ModelReference) -> dict[str, Tensor]:
    """Add the weights of the backbone to the differences from them.

    Args:
        tensors: the differences, and the tensors of the heads, with the names of the authors' files or of transformers.
        reference: the model, with the reference to its base.

    Returns:
        The tensors with the names of transformers' EoMT.

    Raises:
        CheckpointError: the base is not given, cannot be loaded, or does not fit.
    """
    if reference.base is None:
        raise CheckpointError(
            f"the weights of {reference} are differences from DINOv3's: get access to those, and append to the name "
            "?base=hf://facebook/dinov3-vitl16-pretrain-lvd1689m (for small and base models vits16 and vitb16)"
        )
    base_reference = parse_reference(reference.base)
    base = _renamed(read_tensors(weight_files(local_folder(base_reference), base_reference)), BACKBONE_NAMES)
    model = _renamed(tensors, AUTHORS_NAMES)
    for name in model:
        if not BACKBONE.match(name):
            continue
        if name not in base or base[name].shape != model[name].shape:
            raise CheckpointError(
                f"{base_reference} is not the base of {reference} ({name} differs): give the DINOv3 model of its size"
            )
        model[name] = base[name].float() + model[name].float()
    return model


def _renamed(tensors: dict[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        pattern, replacement = next(((old, new) for old, new in names if re.match(old, name)), ("", ""))
        if name not in UNUSED:
            renamed[re.sub(f"^{pattern}", replacement, name)] = tensor
    return renamed
