# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Small networks of transformers with random weights, as `save_pretrained` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

FAMILIES = ("eomt", "eomt_dinov3", "mask2former", "maskformer", "oneformer", "detr")
NAMES = ("person", "car", "road", "sky-other-merged", "tree-merged")
"""Names of classes, which are COCO's: two things, three kinds of stuff."""
SIZES = {"eomt": 64, "eomt_dinov3": 64}
"""Sizes of the square inputs; the others take any size."""
NUM_QUERIES = 12


def write_model(family: str, folder: Path, names: tuple[str, ...] = NAMES, **config: Any) -> Path:
    """Write a small model with everything that a folder on the hub has.

    Args:
        family: one of `FAMILIES`.
        folder: folder of the files.
        names: names of the classes.
        config: overrides of the library's configuration.

    Returns:
        The folder.
    """
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    labels = dict(enumerate(names))
    common = {"id2label": labels, "label2id": {name: number for number, name in labels.items()}, **config}
    BUILDERS[family](transformers, common).eval().save_pretrained(folder)
    size = SIZES.get(family)
    preprocessing = {
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": size or 64, "longest_edge": size or 128},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    if family == "oneformer":
        write_tokenizer(folder)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; those with None are removed."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of CLIP that knows single characters only."""
    characters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*characters, *(f"{letter}</w>" for letter in characters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )


def _swin(library: Any) -> Any:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    return library.SwinConfig(
        image_size=64, embed_dim=16, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_features=stages
    )


VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "num_blocks": 1, "num_queries": NUM_QUERIES}
DECODER = {
    "hidden_dim": 32,
    "encoder_feedforward_dim": 32,
    "dim_feedforward": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "num_queries": NUM_QUERIES,
}
DETR = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": NUM_QUERIES,
}


def _eomt(library: Any, config: Mapping[str, Any]) -> Any:
    model = library.EomtForUniversalSegmentation(library.EomtConfig(**{**VIT, "image_size": 64, **config}))
    model.attn_mask_probs.zero_()  # As at the end of its training.
    return model


def _eomt_dinov3(library: Any, config: Mapping[str, Any]) -> Any:
    full = {**VIT, "intermediate_size": 64, "image_size": 64, **config}
    model = library.EomtDinov3ForUniversalSegmentation(library.EomtDinov3Config(**full))
    model.attn_mask_probs.zero_()
    return model


def _mask2former(library: Any, config: Mapping[str, Any]) -> Any:
    full = {"backbone_config": _swin(library), "feature_size": 32, "mask_feature_size": 32, **DECODER, **config}
    return library.Mask2FormerForUniversalSegmentation(library.Mask2FormerConfig(**full))


def _maskformer(library: Any, config: Mapping[str, Any]) -> Any:
    full = {"backbone_config": _swin(library), "fpn_feature_size": 32, "mask_feature_size": 32, **config}
    decoder = library.DetrConfig(**DETR)
    return library.MaskFormerForInstanceSegmentation(library.MaskFormerConfig(decoder_config=decoder, **full))


def _oneformer(library: Any, config: Mapping[str, Any]) -> Any:
    text = {"text_encoder_width": 32, "text_encoder_num_layers": 1, "text_encoder_vocab_size": 60}
    full = {"backbone_config": _swin(library), "mask_dim": 32, "conv_dim": 32, "query_dec_layers": 1, **text}
    return library.OneFormerForUniversalSegmentation(library.OneFormerConfig(**{**full, **DECODER, **config}))


def _detr(library: Any, config: Mapping[str, Any]) -> Any:
    backbone = library.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 32],
        depths=[1] * 4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    full = {**DETR, "use_timm_backbone": False, "backbone": None, "backbone_config": backbone, **config}
    return library.DetrForSegmentation(library.DetrConfig(**full))


BUILDERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "eomt": _eomt,
    "eomt_dinov3": _eomt_dinov3,
    "mask2former": _mask2former,
    "maskformer": _maskformer,
    "oneformer": _oneformer,
    "detr": _detr,
}
