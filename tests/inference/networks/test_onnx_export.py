# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Exported models equal PyTorch, and unsupported exports are refused with a remedy."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript", reason="needs requirements-onnx.txt")
pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
from ciae_ros.export.__main__ import main
from ciae_ros.inference import (
    Checkpoint,
    InferenceSettings,
    Predictor,
    coco_categories,
    load_for_backend,
    load_model,
    untrained_checkpoint,
)
from ciae_ros.inference.conversion import onnx_export
from ciae_ros.inference.conversion.errors import ExportError
from ciae_ros.inference.conversion.onnx_export import export_onnx
from ciae_ros.inference.loading.onnx_model import load_onnx_model
from ciae_ros.inference.networks.onnx_network import OnnxNetwork
from ciae_ros.inference.networks.torch_network import TorchNetwork
from ciae_ros.inference.proposals.candidates import Candidates, select_candidates
from ciae_ros.model import PRESETS, ModelConfig
from ciae_ros.model.layers import DeformableConv2d

CPU = torch.device("cpu")
SIZE = (96, 128)
TOLERANCE = 1e-4
"""Maximum difference of the embedding map, as a share of its largest value."""
AGREEMENT = 0.999
"""Minimum share of pixels with the same label."""


def checkpoint_of(config: ModelConfig) -> Checkpoint:
    return untrained_checkpoint("small", config, coco_categories())


def with_deformed_taps(checkpoint: Checkpoint) -> Checkpoint:
    """Initialise the offsets, which are zero at first, when a deformable convolution is an ordinary one."""
    for module in checkpoint.model.modules():
        if isinstance(module, DeformableConv2d):
            torch.nn.init.normal_(module.offset.weight, std=0.02)
    return checkpoint


CHECKPOINTS = {
    "scenes_light": lambda: load_model("scenes_light"),
    "light_beyond_the_paper": lambda: checkpoint_of(
        replace(PRESETS["light_512"], centerness_branch=False, auxiliary_semantics=True, drop_path_rate=0.2)
    ),
    "r50_semantic_dcn": lambda: with_deformed_taps(
        checkpoint_of(ModelConfig(semantic_branch=True, deformable_stages=1, memory_of_things="none", input_size=512))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_exported_network_equals_pytorch(name: str, tmp_path: Path) -> None:
    checkpoint = CHECKPOINTS[name]()
    path = tmp_path / "model.onnx"
    difference = export_onnx(copy.deepcopy(checkpoint), path, SIZE, SIZE[0])
    assert difference < TOLERANCE
    assert str(Path(onnx_export.__file__).parents[3]).encode() not in path.read_bytes()
    model = load_onnx_model(path)
    assert (model.name, model.digest) == (checkpoint.name, checkpoint.digest)
    assert model.config == checkpoint.model.config.at_input_size(SIZE[0])
    assert model.settings == checkpoint.settings
    assert model.categories == checkpoint.categories
    assert torch.equal(model.memory.vectors, checkpoint.model.memory.vectors)
    # Two images, which the network processes sequentially.
    images = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        outputs = OnnxNetwork(model, CPU, torch.float32)(images)
        raw = TorchNetwork(checkpoint, CPU, torch.float32)(images)
        expected = select_candidates(raw, checkpoint.settings.max_proposals_per_level)
    assert_close(outputs.embedding, raw.embedding)
    assert (outputs.semantic_logits is None) == (raw.semantic_logits is None)
    if raw.semantic_logits is not None:
        assert_close(outputs.semantic_logits, raw.semantic_logits)
    for image in range(len(images)):
        assert_same_candidates(outputs.candidates, expected, image)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * expected.abs().max().item())


def assert_same_candidates(found: Candidates, expected: Candidates, image: int) -> None:
    """Match candidates by position and class, because nearly equal scores may change places."""
    torch.testing.assert_close(found.scores[image], expected.scores[image], rtol=0, atol=1e-5)
    ours, theirs = by_place(found, image), by_place(expected, image)
    common = ours.keys() & theirs.keys()
    assert len(common) >= 0.99 * len(ours.keys() | theirs.keys())
    torch.testing.assert_close(
        torch.stack([ours[key] for key in common]),
        torch.stack([theirs[key] for key in common]),
        rtol=1e-4,
        atol=1e-3,
    )


def by_place(candidates: Candidates, image: int) -> dict[tuple[int, ...], torch.Tensor]:
    """Return box and score by x, y and class; no two levels have the same locations."""
    keys = torch.cat((candidates.locations[image], candidates.classes[image][:, None]), dim=1)
    values = torch.cat((candidates.boxes[image], candidates.scores[image][:, None]), dim=1)
    return {tuple(key): value for key, value in zip(keys.tolist(), values, strict=True)}


@pytest.fixture(scope="module")
def exported_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model."""
    path = tmp_path_factory.mktemp("onnx") / "scenes_light.onnx"
    assert main(["scenes_light", "--onnx", str(path), "--size", "192x256"]) == 0
    return path


def test_labels_of_the_shipped_model_are_the_same_on_real_images(data: Path, exported_scenes: Path) -> None:
    exported = Predictor(load_for_backend(str(exported_scenes)))
    original = Predictor(load_model("scenes_light"), input_size=192)
    paths = sorted((data / "camvid_480x360" / "test").glob("*.jpg"))[::12]
    images = [cv2.imread(str(path)) for path in paths]
    results, _ = exported.predict_batch([(image, "bgr") for image in images])
    for image, result in zip(images, results, strict=True):
        expected = original.predict(image, "bgr")
        assert len(expected.segments) > 3
        assert (result.semantic_map() == expected.semantic_map()).mean() > AGREEMENT
        assert (result.label_map == expected.label_map).mean() > AGREEMENT
        assert [segment.category for segment in result.segments] == [each.category for each in expected.segments]


def test_duplicates_are_suppressed_as_by_pytorch(data: Path, exported_scenes: Path) -> None:
    exported = Predictor(load_for_backend(str(exported_scenes)))
    original = Predictor(load_model("scenes_light"), input_size=192)
    images = [cv2.imread(str(path)) for path in sorted((data / "camvid_480x360" / "test").glob("*.jpg"))[::12]]
    things = {}
    for similarity in (1.0, 0.9):
        settings = original.default_settings.override(score_threshold=0.2, duplicate_similarity=similarity)
        exported.settings = original.settings = settings
        found, expected = (
            [
                [(segment.category.name, round(segment.score, 3)) for segment in result.segments]
                for result in (predictor.predict(image, "bgr") for image in images)
            ]
            for predictor in (exported, original)
        )
        assert found == expected
        things[similarity] = sum(map(len, found))
    assert things[0.9] < things[1.0]


def test_labels_of_random_weights_are_the_same_on_real_images(data: Path, exported_light: Path) -> None:
    torch.manual_seed(1)
    checkpoint = load_model("untrained/light_512")
    settings = InferenceSettings(score_threshold=0.05, max_instances=30, min_stuff_area=50)
    exported = Predictor(load_for_backend(str(exported_light)), settings=settings)
    original = Predictor(checkpoint, settings=settings, input_size=128)
    for path in sorted((data / "camvid_480x360" / "val").glob("*.jpg"))[::30]:
        image = cv2.imread(str(path))
        found, expected = exported.predict(image, "bgr"), original.predict(image, "bgr")
        assert len(np.unique(expected.label_map)) > 1
        assert (found.semantic_map() == expected.semantic_map()).mean() > AGREEMENT


def test_half_precision_is_close(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    assert 1e-5 < export_onnx(load_model("scenes_light"), path, SIZE, SIZE[0], "fp16") < onnx_export.TOLERANCE["fp16"]
    assert load_onnx_model(path).precision == "fp16"


def test_a_network_that_cannot_be_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: object, **choices: object) -> None:
        raise RuntimeError("No decompositions registered for the operator\nand much more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ExportError, match=r"cannot be exported \(No decompositions registered for the operator\): use"):
        export_onnx(load_model("scenes_light"), tmp_path / "model.onnx", SIZE, SIZE[0])


def test_a_file_that_differs_from_pytorch_does_not_replace_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("before")
    monkeypatch.setattr(onnx_export, "_write", lambda network, image, metadata, path: path.write_text("after"))
    monkeypatch.setattr(onnx_export, "_compare", lambda *arguments: float("nan"))
    with pytest.raises(ExportError, match=r"differs from PyTorch's by .* use the checkpoint with PyTorch"):
        export_onnx(load_model("scenes_light"), path, SIZE, SIZE[0])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes_light", "--onnx", "m.onnx", "--size", "100x128"], "multiples of 32, not 100x128: use 128x128"),
        (["scenes_light", "--onnx", "no/such/m.onnx"], "folder no/such does not exist"),
        (["untrained/r18", "--onnx", "m.onnx"], "preset 'r18' does not exist"),
        (["m.onnx", "--onnx", "m.onnx"], "m.onnx is an ONNX file, and this needs a checkpoint"),
    ],
)
def test_refusals_are_one_line_and_exit_code_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: ")
    assert message in line


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(onnx_export.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    assert main(["scenes_light", "--onnx", "m.onnx"]) == 1
    assert capsys.readouterr().err == ("export: onnxscript not installed: type pip install -r requirements-onnx.txt\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes_light"], "the following arguments are required: --onnx"),
        (["scenes_light", "--onnx", "m.onnx", "--size", "512"], "'512' is not HEIGHTxWIDTH, such as 512x928"),
        (["scenes_light", "--onnx", "m.onnx", "--size", "64x64", "--camera", "64x64"], "not allowed with argument"),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert re.search(r"example: python -m ciae_ros.export \S+ --onnx", capsys.readouterr().out)
