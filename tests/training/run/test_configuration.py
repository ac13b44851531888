# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Configurations: invalid values are refused with their names, valid ones are applied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import yaml

from tests.training.run.tiny_run import copy_of_run, refusal, train_with
from training.config import ConfigError, load_config

# Configurations.


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimisation.batch_size=8", "optimisation"),
        ("optimization.batch_sise=8", "optimization.batch_sise"),
        ("data.trian=x", "data.trian"),
        ("augmentation.flp=0", "augmentation.flp"),
        ("embedding_loss.margn=0.1", "embedding_loss.margn"),
        ("memory.momentun=0.9", "memory.momentun"),
        ("inference.score=0.9", "inference.score"),
        ("model.embedding_dims=8", "embedding_dims"),
        ("optimization.batch_size=many", "optimization.batch_size"),
        ("optimization.batch_size=0", "optimization.batch_size"),
        ("optimization.iterations=1.5", "optimization.iterations"),
        ("optimization.momentum=1", "optimization.momentum"),
        ("optimization.optimizer=adam", "optimization.optimizer"),
        ("optimization.ema=1", "optimization.ema"),
        ("optimization=5", "optimization"),
        ("augmentation.shorter_side=800", "augmentation.shorter_side"),
        ("augmentation.flip=2", "flip"),
        ("memory.momentum=2", "momentum"),
        ("embedding_loss.top_k=0", "top_k"),
        ("model.preset=r51_800", "not 'r51_800'"),
        ("model.preset=[1]", "preset"),
        ("model.backbone=resnet51", "resnet51"),
        ("model.backbone=timm/no_such_net", "no_such_net"),
        ("model.backbone=50", "backbone"),
        ("model.embedding_dim=wide", "embedding_dim"),
        ("model.embedding_dim=8.5", "embedding_dim"),
        ("model.coord_conv=nope", "coord_conv"),
        ("model=5", "model"),
        ("device=gpu", "device"),
        ("device=cuda", "device"),
        ("data.train=/nowhere/panoptic.json", "/nowhere/panoptic.json"),
        ("data.val=/nowhere/panoptic.json", "/nowhere/panoptic.json"),
        ("pretrained=/nowhere/weights.pt", "/nowhere/weights.pt"),
        ("initial_checkpoint=/nowhere/model.safetensors", "/nowhere/model.safetensors"),
        ("optimization.batch_size", "optimization.batch_size"),
        ("optimization.batch_size=[", "optimization.batch_size"),
        ("=3", "=3"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(
    config: Path, tmp_path: Path, override: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert train_with(config, tmp_path / "run", "optimization.iterations=1", override) == 1
    assert words in refusal(capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: missing.yaml", "missing.yaml"),
        ("base: 5", "base"),
        ("base: wrong.yaml", "wrong.yaml"),
        ("name: [", "wrong.yaml"),
        ("- name", "wrong.yaml"),
        ("", "wrong.yaml"),
        ("name: x", "data: Field required"),
        ("data: {train: x}", "name: Field required"),
        ("name: x\ndata: {train: x}\nseeds: 1", "seeds"),
        (b"name: \xff", "wrong.yaml"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what_is_wrong(
    tmp_path: Path, text: str | bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert train_with(path, tmp_path / "run") == 1
    assert words in refusal(capsys)


def test_each_error_of_several_is_named(config: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(config, ["seed=x", "optimization.batch_size=0", "log_every=0"])
    faults = str(caught.value).split("; ")
    assert len(faults) == 3
    assert all(any(key in fault for fault in faults) for key in ("seed", "optimization.batch_size", "log_every"))


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_with(tmp_path / "none.yaml", tmp_path / "run") == 1
    assert "none.yaml" in refusal(capsys)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"images": [], "annotations": [], "categories": []}'])
def test_annotations_that_are_none_are_named(
    config: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "panoptic_broken.json"
    path.write_bytes(content)
    assert train_with(config, tmp_path / "run", f"data.train={path}") == 1
    assert str(path) in refusal(capsys)


def test_a_base_is_changed_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    base = {"name": "base", "data": {"train": "x", "workers": 2}, "optimization": {"batch_size": 8, "iterations": 5}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    middle = {"base": "../base.yaml", "name": "middle", "optimization": {"iterations": 6}}
    (tmp_path / "folder" / "middle.yaml").write_text(yaml.safe_dump(middle))
    (tmp_path / "folder" / "top.yaml").write_text("base: middle.yaml\ndata: {workers: 0}")
    config = load_config(tmp_path / "folder" / "top.yaml", ["optimization.momentum=0.5", "optimization.iterations=7"])
    assert (config.name, config.data.train, config.data.workers) == ("middle", Path("x"), 0)
    optimization = config.optimization
    assert (optimization.batch_size, optimization.iterations, optimization.momentum) == (8, 7, 0.5)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("config/training/**/*.yaml")), ids=lambda p: p.stem
)
def test_the_projects_configurations_can_be_read(path: Path) -> None:
    load_config(path, [])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optimization.learning_rate=0.001", "optimization.learning_rate"),
        ("model.embedding_dim=16", "model.embedding_dim"),
        ("seed=1", "seed"),
        ("data.max_images=3", "data.max_images"),
        ("optimization.ema=null", "optimization.ema"),
    ],
)
def test_the_state_of_another_configuration_is_refused(
    config: Path, finished: Path, tmp_path: Path, override: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = copy_of_run(finished, tmp_path)
    before = (output / "state.pt").read_bytes()
    assert train_with(config, output, override) == 1
    line = refusal(capsys)
    assert key in line and str(output / "state.pt") in line
    assert (output / "state.pt").read_bytes() == before
    assert not (output / "config.yaml").exists()


def test_keys_without_effect_on_the_result_may_change(config: Path, finished: Path, tmp_path: Path) -> None:
    changes = ["device=cpu", "data.workers=1", "log_every=5", "pictures_every=5", "checkpoint_every=7"]
    assert train_with(config, copy_of_run(finished, tmp_path), *changes) == 0


@pytest.mark.parametrize("content", ["noise", "half", "another", "list"])
def test_a_corrupt_state_is_refused(
    config: Path, finished: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = copy_of_run(finished, tmp_path)
    path = output / "state.pt"
    if content == "noise":
        path.write_bytes(os.urandom(1000))
    elif content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        torch.save({"a": 1} if content == "another" else [1], path)
    assert train_with(config, output) == 1
    lines = capsys.readouterr().err
    assert str(path) in lines and "Traceback" not in lines
    assert len(lines.splitlines()) == 1
