# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The recipe of the shipped model: its commands, on a few images of its data sets."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.inference import DEFAULT_MODEL
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.loading.named_models import shipped_models
from tests.training.run.tiny_run import one_thread
from training import check_data
from training.train import main

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config" / "training" / "scenes_light.yaml"
SCENES = CategoryMap.load(ROOT / "config" / "label_maps" / "scenes.yaml").categories
IMAGES = 2
"""Images of each split."""
COCO_IMAGES = 8
"""Images of COCO's splits, of which a batch needs four of the same format."""
SHORT = (
    *("optimization.iterations=3", "optimization.warmup_iterations=1", "optimization.batch_size=4", "device=cpu"),
    *("augmentation.shorter_side=[96,128]", "augmentation.crop=[96,128]", "model.input_size=96"),
)


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the data have been prepared, from a few images of each data set."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("ncnn")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("examples", "training", "ciae_ros"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", folder / "config")
    link_some(data, folder / "data", folder / "config" / "data_sets")
    prepare(folder)
    return folder


def link_some(data: Path, target: Path, lists: Path) -> None:
    """Link the images and annotations of a few images of each split, and shorten the lists of held-out images."""
    for split in ("train", "val", "test"):
        _link(data, target, "camvid_480x360", (split, f"{split}annot"), IMAGES)
    for split in ("train", "val"):
        _link(data, target, "idd_lite", (split, f"{split}annot"), IMAGES)
    held_out, chosen = [], []
    for split in ("val", "test"):
        path = lists / f"labelmefacade_{split}.txt"
        names = path.read_text().split()
        path.write_text("\n".join(names[:IMAGES]) + "\n")
        held_out += names
        chosen += names[:IMAGES]
    others = (path.stem for path in sorted((data / "labelmefacade" / "images").iterdir()) if path.stem not in held_out)
    _link_named(data, target, "labelmefacade", ("images", "labels"), [*chosen, *list(others)[:IMAGES]])
    (target / "teachers").symlink_to(data / "teachers")
    _link_coco(data / "coco_panoptic_mini", target / "coco_panoptic_mini")


def _link_coco(source: Path, target: Path) -> None:
    (target / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        name = f"panoptic_{split}"
        content = json.loads((source / "annotations" / f"{name}.json").read_text())
        for key in ("images", "annotations"):
            content[key] = sorted(content[key], key=lambda entry: entry.get("image_id", entry.get("id")))[:COCO_IMAGES]
        (target / "annotations" / f"{name}.json").write_text(json.dumps(content))
        (target / "annotations" / name).symlink_to(source / "annotations" / name)
        (target / split).symlink_to(source / split)


def _link(data: Path, target: Path, name: str, folders: tuple[str, str], count: int) -> None:
    chosen = [path.stem for path in sorted((data / name / folders[0]).iterdir())[:count]]
    _link_named(data, target, name, folders, chosen)


def _link_named(data: Path, target: Path, name: str, folders: Iterable[str], chosen: list[str]) -> None:
    for folder in folders:
        (target / name / folder).mkdir(parents=True)
        for path in (data / name / folder).iterdir():
            if path.stem in set(chosen):
                (target / name / folder / path.name).symlink_to(path)


def prepare(folder: Path) -> str:
    """Run the script with the shipped model as the teacher of CamVid's classes."""
    command = [str(ROOT / "scripts" / "scenes_data.sh"), "data", "out/data/scenes", DEFAULT_MODEL]
    run = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def annotations(folder: Path, data_set: str, split: str) -> PanopticAnnotations:
    return PanopticAnnotations.load(folder / "out/data/scenes" / data_set / "annotations" / f"panoptic_{split}.json")


def test_all_training_data_have_the_categories_of_the_model(prepared: Path) -> None:
    parts = {"camvid": "trainval", "idd_lite_labels": "train", "labelmefacade_labels": "train", "coco": "train2017"}
    for name, split in parts.items():
        found = annotations(prepared, name, split)
        assert found.categories == SCENES
        assert len(found.annotated) == {"camvid": 2 * IMAGES, "coco": COCO_IMAGES}.get(name, IMAGES)
        assert check_data.main([str(found.path)]) == 0


def test_labels_agree_with_the_annotations(prepared: Path) -> None:
    """What IDD-Lite calls drivable, and only that, is road."""
    truth, labels = annotations(prepared, "idd_lite", "train"), annotations(prepared, "idd_lite_labels", "train")
    for image_id, labelled in zip(sorted(truth.annotated), sorted(labels.annotated), strict=True):
        classes = truth.segment_ids(image_id), labels.segment_ids(labelled)
        drivable, road = (_of_category(*one) for one in ((truth, image_id, "drivable"), (labels, labelled, "road")))
        assert drivable.any() and classes[0].shape == classes[1].shape
        assert (road[drivable]).all() and not road[~drivable & (classes[0] > 0)].any()


def _of_category(annotations: PanopticAnnotations, image_id: ImageId, name: str) -> np.ndarray:
    """Return the pixels (H, W) of a category."""
    ids = annotations.segment_ids(image_id)
    own = [
        one["id"]
        for one in annotations.annotations[image_id]["segments_info"]
        if annotations.categories.by_id[one["category_id"]].name == name
    ]
    return np.isin(ids, own)


def test_the_same_command_continues_and_changes_nothing(prepared: Path) -> None:
    path = prepared / "out/data/scenes/idd_lite_labels/annotations/panoptic_train.json"
    before = path.read_bytes(), path.stat().st_mtime_ns
    prepare(prepared)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_the_same_command_starts_the_same_training(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepared)
    initial = f"initial_checkpoint={shipped_models()[DEFAULT_MODEL]}"
    with one_thread():
        for name in ("first", "second"):
            assert main(["--config", str(CONFIG), "--output", f"out/{name}", *SHORT, initial]) == 0
    paths = "out/first/model.safetensors", "out/second/model.safetensors", shipped_models()[DEFAULT_MODEL]
    first, second, before = map(load_file, paths)
    assert first.keys() == second.keys() == before.keys()
    assert all(first[name].equal(second[name]) for name in first)
    assert not first["memory.vectors"].equal(before["memory.vectors"])
