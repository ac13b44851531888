# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Weights that are differences from those of DINOv3."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ciae_ros.inference import CheckpointError
from ciae_ros.inference.loading.huggingface.mask_model import load_mask_model
from tests.inference.loading.huggingface_models import write_model

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    config = transformers.DINOv3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_register_tokens=4,
    )
    transformers.DINOv3ViTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model("eomt_dinov3", tmp_path / "model")


def subtract(model: Path, base: Path) -> dict[str, torch.Tensor]:
    """Return the weights, those of the backbone as differences from the base."""
    of_base = {
        re.sub(r"^norm\.", "layernorm.", re.sub(r"^layer\.", "layers.", name)): tensor
        for name, tensor in load_file(base / "model.safetensors").items()
    }
    weights = load_file(model / "model.safetensors")
    assert len(of_base.keys() & weights.keys()) > 40
    return {name: tensor - of_base.get(name, 0) for name, tensor in weights.items()}


def authors_name(name: str) -> str:
    for pattern, replacement in (
        (r"^embeddings\.", "network.encoder.backbone.patch_embed."),
        (r"^layers\.", "network.encoder.backbone.blocks."),
        (r"^layernorm\.", "network.encoder.backbone.norm."),
        (r"^query\.", "network.q."),
        (r"^class_predictor\.", "network.class_head."),
        (r"^mask_head\.fc1\.", "network.mask_head.0."),
        (r"^mask_head\.fc2\.", "network.mask_head.2."),
        (r"^mask_head\.fc3\.", "network.mask_head.4."),
        (r"^upscale_block\.block\.(\d)\.layernorm2d\.", r"network.upscale.\1.norm."),
        (r"^upscale_block\.block\.", "network.upscale."),
        (r"^attn_mask_probs$", "network.attn_mask_probs"),
    ):
        name = re.sub(pattern, replacement, name)
    return name


@pytest.mark.parametrize("names", ["transformers", "authors"])
def test_the_base_is_added(model: Path, base: Path, names: str) -> None:
    expected = load_mask_model(str(model)).module.state_dict()
    deltas = subtract(model, base)
    if names == "authors":
        deltas = {authors_name(name): tensor for name, tensor in deltas.items()}
        deltas["network.encoder.pixel_mean"] = torch.zeros(3)
        assert sum(name.startswith("network.") for name in deltas) > 60
    save_file(deltas, model / "model.safetensors", {"format": "pt"})
    found = load_mask_model(f"{model}?base={base}").module.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)


def test_the_base_is_asked_for(model: Path, base: Path) -> None:
    deltas = {authors_name(name): tensor for name, tensor in subtract(model, base).items()}
    save_file(deltas, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"are differences from DINOv3's: .*\?base=hf://facebook/dinov3-vitl16"):
        load_mask_model(str(model))


def test_another_base_is_refused(model: Path, base: Path, tmp_path: Path) -> None:
    weights = load_file(base / "model.safetensors")
    weights["norm.weight"] = torch.zeros(5)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"other is not the base of .*model \(layernorm.weight differs\)"):
        load_mask_model(f"{model}?base={other}")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_mask_model(f"{model}?base={tmp_path / 'nothing'}")
