# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints are restored exactly; anything else is refused in one line."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ciae_ros.inference import (
    Category,
    CategorySet,
    Checkpoint,
    CheckpointError,
    Predictor,
    coco_categories,
    load_checkpoint,
    save_checkpoint,
)
from ciae_ros.model import CIAE, PRESETS

LIGHT = replace(PRESETS["light_512"], input_size=128, max_input_size=256)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, "a name", CIAE(LIGHT), coco_categories())
    return path


def metadata(path: Path) -> dict[str, str]:
    length = int.from_bytes(path.read_bytes()[:8], "little")
    return json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]


def test_checkpoint_comes_back(path: Path) -> None:
    checkpoint = load_checkpoint(path)
    again = load_checkpoint(path)
    assert checkpoint.name == "a name"
    assert checkpoint.model.config == LIGHT
    assert checkpoint.categories == coco_categories()
    assert checkpoint.digest == again.digest
    assert len(checkpoint.digest) == 12
    torch.testing.assert_close(checkpoint.model.memory.vectors, again.model.memory.vectors)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(Predictor(checkpoint).predict(image).label_map, Predictor(again).predict(image).label_map)


def test_category_memory_is_in_the_file(path: Path) -> None:
    assert load_file(path)["memory.vectors"].shape == (54, 32)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no checkpoint at" in refused(tmp_path / "nothing.safetensors")


def test_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    assert "corrupt" in refused(path)


def test_pickle_is_not_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Attack()))
    assert "not a safetensors file" in refused(path)
    assert not (tmp_path / "executed").exists()


def test_other_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "not a checkpoint of this version" in refused(path)


def test_weights_that_do_not_fit(path: Path) -> None:
    values, tensors = metadata(path), load_file(path)
    tensors.pop("memory.vectors")
    save_file(tensors, path, values)
    assert "memory.vectors" in refused(path)
    tensors["memory.vectors"] = torch.zeros(54, 16)
    save_file(tensors, path, values)
    assert "do not fit" in refused(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_of_a_training_that_diverged(path: Path, value: float) -> None:
    values, tensors = metadata(path), load_file(path)
    tensors["memory.vectors"][2, 3] = value
    save_file(tensors, path, values)
    assert "contains weights that are not finite (memory.vectors)" in refused(path)


@pytest.mark.parametrize("field", ["config", "categories"])
def test_corrupt_description(path: Path, field: str) -> None:
    values = metadata(path)
    save_file(load_file(path), path, values | {field: '{"backbone": "resnet18"}'})
    assert "does not describe a valid model" in refused(path)


def test_categories_of_another_number() -> None:
    few = CategorySet((Category(1, "a", True, (0, 0, 0)), Category(2, "b", False, (0, 0, 0))))
    with pytest.raises(CheckpointError, match="53 stuff and 80 thing classes, its categories are 1 stuff and 1 things"):
        Checkpoint("name", CIAE(LIGHT), few, "digest")


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, "another", CIAE(LIGHT), coco_categories())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([("a", 1, True), ("b", 1, False)], "repeated"),
        ([("a", 0, True), ("b", 1, False)], "must be in"),
        ([("a", 70000, True), ("b", 1, False)], "must be in"),
        ([("a", 1, True), ("b", 2, True)], "at least one stuff"),
    ],
)
def test_category_sets_that_cannot_be_published_are_refused(
    categories: list[tuple[str, int, bool]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CategorySet(tuple(Category(i, name, thing, (0, 0, 0)) for name, i, thing in categories))
