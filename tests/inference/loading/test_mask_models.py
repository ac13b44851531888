# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Panoptic networks of transformers: loaded from folders and run as by the library, or refused in one line."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ciae_ros.inference import DEFAULT_MODEL, Checkpoint, CheckpointError, Predictor, load_for_backend
from ciae_ros.inference.backends.mask_backend import MaskBackend
from ciae_ros.inference.device_choice import choose_precision
from ciae_ros.inference.loading.huggingface.mask_model import TASK, MaskModel, load_mask_model
from ciae_ros.inference.networks.mask_network import MaskNetwork
from ciae_ros.inference.stage_times import HostClock
from tests.inference.loading.huggingface_models import FAMILIES, NAMES, NUM_QUERIES, edit_json, write_model

transformers = pytest.importorskip("transformers")

EVERYTHING = {"score_threshold": 0.0, "mask_threshold": 0.3, "overlap_threshold": 0.0}
"""Thresholds with which random weights find segments."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {family: write_model(family, folder / family) for family in FAMILIES}


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return cv2.resize(noise, (180, 120), interpolation=cv2.INTER_CUBIC)


def library_model(folder: Path) -> Any:
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    return getattr(transformers, architecture).from_pretrained(folder).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_loaded_and_run_as_by_the_library(models: dict[str, Path], family: str) -> None:
    model = load_mask_model(str(models[family]))
    assert [category.name for category in model.categories.things] == ["person", "car"]
    assert [category.id for category in model.categories.things] == [1, 3]
    assert [model.categories.categories[index].name for index in model.category_of_class] == list(NAMES)
    assert (model.name, model.num_queries) == (family, NUM_QUERIES)
    batch = torch.randn(2, 3, 64, 64)
    inputs = {}
    if family == "oneformer":
        processor = transformers.OneFormerProcessor(
            transformers.OneFormerImageProcessor(), transformers.AutoTokenizer.from_pretrained(models[family])
        )
        inputs["task_inputs"] = processor._preprocess_text([TASK] * 2)
        assert torch.equal(model.task_tokens.expand(2, -1), inputs["task_inputs"])
    with torch.inference_mode():
        expected = library_model(models[family])(pixel_values=batch, **inputs)
        found = MaskNetwork(model, torch.device("cpu"), torch.float32)(batch)
    names = ("logits", "pred_masks") if family == "detr" else ("class_queries_logits", "masks_queries_logits")
    torch.testing.assert_close(found.class_logits, expected[names[0]])
    torch.testing.assert_close(found.mask_logits, expected[names[1]])
    assert found.class_logits.shape == (2, NUM_QUERIES, len(NAMES) + 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"precision": "bf16"}, {"input_size": 96}, {"result_size": "network"}])
def test_every_family_segments(
    models: dict[str, Path], image: np.ndarray, family: str, options: dict[str, Any]
) -> None:
    model = load_for_backend(str(models[family]))
    predictor = Predictor(model, settings=model.settings.override(**EVERYTHING), **options)
    result = predictor.predict(image, "bgr")
    assert len(result.segments) > 0
    assert result.label_map.max() == len(result.segments)
    expected = predictor.geometry(*image.shape[:2])
    assert result.label_map.shape == (expected.resized if "result_size" in options else image.shape[:2])
    results, _ = predictor.predict_batch([(image, "bgr"), (image[::-1].copy(), "bgr")])
    assert [each.label_map.shape for each in results] == [result.label_map.shape] * 2


def test_the_whole_way_is_that_of_the_library(models: dict[str, Path], image: np.ndarray) -> None:
    small = cv2.resize(image, (64, 43))
    processor = transformers.EomtImageProcessor.from_pretrained(models["eomt"], do_pad=True)
    (inputs,) = processor(images=image, return_tensors="pt")["pixel_values"]
    model = load_mask_model(str(models["eomt"]))
    predictor = Predictor(model, settings=model.settings.override(**EVERYTHING))
    geometry = predictor.geometry(*image.shape[:2])
    batch = predictor.preprocess([(torch.from_numpy(image), "rgb")], [geometry])
    assert geometry.padded == (64, 64) == tuple(inputs.shape[1:])
    height, width = geometry.resized
    assert (height, width) == (43, 64)
    assert (batch[0, :, :height, :width] - inputs[:, :height, :width]).abs().max() < 0.05
    # At the size of the network, because the library interpolates twice, to that size and to that of the image.
    geometry = predictor.geometry(*small.shape[:2])
    batch = predictor.preprocess([(torch.from_numpy(small), "rgb")], [geometry])
    with torch.inference_mode():
        outputs = predictor.run_network(batch)
    (theirs,) = processor.post_process_panoptic_segmentation(
        SimpleNamespace(class_queries_logits=outputs.class_logits, masks_queries_logits=outputs.mask_logits),
        target_sizes=[small.shape[:2]],
        threshold=0.0,
        mask_threshold=0.3,
        overlap_mask_area_threshold=0.0,
        stuff_classes=[2, 3, 4],
    )
    (ours,) = predictor.segment(outputs, [geometry], predictor.settings, HostClock(torch.device("cpu")))
    result = ours.to_result(model.categories)
    assert [segment.category.name for segment in result.segments] == [
        NAMES[segment["label_id"]] for segment in theirs["segments_info"]
    ]
    assert (theirs["segmentation"].numpy() + 1 == result.label_map).mean() > 0.999


@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_a_batch_do_not_affect_each_other(models: dict[str, Path], image: np.ndarray, family: str) -> None:
    predictor = Predictor(load_mask_model(str(models[family])))
    images = [(torch.from_numpy(each), "rgb") for each in (image, image[::-1].copy())]
    geometries = [predictor.geometry(*image.shape[:2])] * 2
    together = predictor.run_network(predictor.preprocess(images, geometries))
    for number in range(2):
        alone = predictor.run_network(predictor.preprocess([images[number]], [geometries[number]]))
        for ours, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[number], expected[0], rtol=1e-3, atol=1e-3)


def test_the_thresholds_are_those_of_the_authors(models: dict[str, Path]) -> None:
    settings = load_mask_model(str(models["mask2former"])).settings
    assert (settings.score_threshold, settings.mask_threshold, settings.overlap_threshold) == (0.8, 0.5, 0.8)
    assert (settings.min_stuff_area, settings.max_instances) == (0, NUM_QUERIES)
    assert load_mask_model(str(models["detr"])).settings.score_threshold == 0.85


def test_eomt_takes_squares_of_other_sizes(models: dict[str, Path], image: np.ndarray) -> None:
    model = load_mask_model(str(models["eomt"]))
    predictor = Predictor(copy.deepcopy(model), input_size=128)
    assert predictor.geometry(120, 180).padded == (128, 128)
    with pytest.raises(ValueError, match="multiple of 16 for this network: use 112"):
        Predictor(model, input_size=120)


def test_the_backend_is_like_the_others(models: dict[str, Path], image: np.ndarray) -> None:
    model = load_for_backend(str(models["mask2former"]))
    assert isinstance(model, MaskModel)
    assert choose_precision("auto", model, "cpu") == "fp32"
    predictor = Predictor(model)
    assert isinstance(predictor.backend, MaskBackend)
    assert predictor.backend.max_segments(predictor.settings) == NUM_QUERIES
    assert (predictor.device_name, predictor.execution_mode) == ("cpu", "eager")
    with pytest.raises(ValueError, match="has no embedding of pixels: use a CIAE model"):
        predictor.embed(image)
    with pytest.raises(CheckpointError, match=r"backend onnx cannot run .*, a network of transformers: set"):
        load_for_backend(str(models["mask2former"]), "onnx")


def test_detr_with_a_backbone_of_timm_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the authors' models, whose configuration asks for pretrained weights."""
    folder = write_model("detr", tmp_path / "detr", use_timm_backbone=True, backbone="resnet18", backbone_config=None)
    for place in ("backbone_config", ""):
        config = json.loads((folder / "config.json").read_text())
        (config[place] if place and config.get(place) else config)["use_pretrained_backbone"] = True
        (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: pytest.fail("the network was used"))
    assert load_mask_model(str(folder)).num_queries == NUM_QUERIES


def test_weights_in_several_files_are_loaded(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "divided"
    library_model(models["eomt"]).save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    shutil.copy(models["eomt"] / "preprocessor_config.json", folder)
    divided, whole = load_mask_model(str(folder)), load_mask_model(str(models["eomt"]))
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(divided.module.state_dict()[name], tensor)
    next(folder.glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"is incomplete, .* is missing: download it again"):
        load_mask_model(str(folder))


@pytest.fixture
def broken(models: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of a model that a test may break."""
    return Path(shutil.copytree(models["eomt"], tmp_path / "broken"))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        weights.pop(name.replace("__", "."))
        if tensor is not None:
            weights[name.replace("__", ".")] = tensor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def refusal(model: Path | str) -> str:
    with pytest.raises(CheckpointError) as refused:
        load_for_backend(str(model))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_folders_that_are_no_models_are_refused(broken: Path, tmp_path: Path) -> None:
    assert "has no config.json: give a folder that save_pretrained" in refusal(tmp_path)
    (broken / "config.json").write_text("{")
    assert "config.json cannot be read" in refusal(broken)
    (broken / "config.json").write_text("[]")
    assert "config.json is not a JSON object" in refusal(broken)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is BertForMaskedLM, not a panoptic network that is supported"),
        ({"architectures": None, "model_type": "segformer"}, "is segformer, not a panoptic network"),
        ({"architectures": None, "model_type": None}, "is a model without a type, not a panoptic network"),
        ({"id2label": {"0": "person", "1": "car"}}, "the weights .* do not fit its config.json: class_predictor"),
        ({"hidden_size": 48}, r"the weights .* do not fit its config.json: .* missing or has another shape, and \d+"),
        ({"hidden_size": "big"}, "cannot be loaded: .*hidden_size"),
        ({"id2label": ["person"]}, "cannot be loaded|id2label that is not a mapping"),
    ],
)
def test_models_of_another_kind_are_refused(broken: Path, config: dict[str, Any], message: str) -> None:
    edit_json(broken / "config.json", **config)
    assert re.search(message, refusal(broken))


def test_a_folder_does_not_hide_a_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / DEFAULT_MODEL).mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_for_backend(DEFAULT_MODEL), Checkpoint)


def test_semantic_models_are_refused(broken: Path) -> None:
    edit_json(broken / "preprocessor_config.json", do_split_image=True)
    assert "is a semantic model, which divides images into parts: choose a panoptic one" in refusal(broken)


def test_weights_that_cannot_be_used_are_refused(broken: Path) -> None:
    change_weights(broken, query__weight=None)
    assert "the weights of" in (message := refusal(broken)) and "query.weight is missing" in message
    change_weights(broken, class_predictor__bias=torch.full((6,), torch.nan))
    assert "weights that are not finite (class_predictor.bias)" in refusal(broken)
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "is not a safetensors file or is corrupt" in refusal(broken)


def test_pickles_are_not_loaded(broken: Path) -> None:
    torch.save(load_file(broken / "model.safetensors"), broken / "pytorch_model.bin")
    (broken / "model.safetensors").unlink()
    message = refusal(broken)
    assert "no weights in safetensors files, and pickles, which can contain code, are not loaded" in message
    assert "huggingface.co/spaces/safetensors/convert" in message


def test_code_of_the_models_authors_is_not_run(broken: Path) -> None:
    (broken / "modeling.py").write_text(f"open({str(broken / 'ran')!r}, 'w')\nclass Model: pass\nclass Config: pass\n")
    edit_json(
        broken / "config.json",
        auto_map={"AutoConfig": "modeling.Config", "AutoModel": "modeling.Model"},
        architectures=["Model"],
        model_type="own",
    )
    assert "is Model, not a panoptic network" in refusal(broken)
    edit_json(broken / "config.json", architectures=["EomtForUniversalSegmentation"], model_type="eomt")
    load_mask_model(str(broken))
    assert not (broken / "ran").exists()


def test_oneformer_needs_its_tokenizer(models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models["oneformer"], tmp_path / "oneformer"))
    (folder / "vocab.json").write_text("{")
    assert "the tokenizer of" in refusal(folder)
    (folder / "vocab.json").unlink()
    assert "has no tokenizer (tokenizer.json, or vocab.json): download it again" in refusal(folder)


def test_the_library_is_asked_for(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "type pip install -r requirements-models.txt" in refusal(models["eomt"])
