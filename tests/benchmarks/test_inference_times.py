# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Times as in Table I on two images."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.networks.inference_times import time_images
from benchmarks.networks.published_times import published_time
from ciae_ros.inference import InferenceSettings, Predictor, load_checkpoint, save_checkpoint
from ciae_ros.model import CIAE, PRESETS, ModelConfig
from tests.training.synthetic import CATEGORIES

LIGHT = replace(PRESETS["light_512"], num_stuff_classes=2, num_thing_classes=2, input_size=64, max_input_size=128)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "random.safetensors"
    save_checkpoint(path, "random", CIAE(LIGHT).eval(), CATEGORIES, InferenceSettings(score_threshold=0.05))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of different shapes, and a file that is not an image."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (60, 80, 3)), ("b.JPG", (80, 60, 3))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, shape, np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def run(tmp_path: Path, *options: str) -> int:
    return main(["inference", *options, "--device", "cpu", "--output", str(tmp_path / "out")])


def test_times_of_two_images(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--models", str(checkpoint), "--images", str(images), "--warm-up", "3", "--sizes", "64", "96"]
    assert run(tmp_path, *options) == 0
    printed = capsys.readouterr().out
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in printed.splitlines() if line.startswith("| random")]
    assert [row[:2] for row in rows] == [["random", "64"], ["random", "96"]]
    for row in rows:
        assert 0 < float(row[4]) < float(row[2])
        assert float(row[6]) > 0
        assert row[7:] == ["", ""]
    results = json.loads((tmp_path / "out" / "inference.json").read_text())
    assert results["parameters"]["count"] == 2


def test_every_image_is_timed_once(checkpoint: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(load_checkpoint(checkpoint))
    seen = []
    predict_timed = predictor.predict_timed

    def recorded(image: np.ndarray, *arguments: object) -> object:
        seen.append(image.shape[:2])
        return predict_timed(image, *arguments)

    monkeypatch.setattr(predictor, "predict_timed", recorded)
    timing = time_images(predictor, [images / "a.png", images / "b.JPG"], warm_up=1)
    assert seen == [(60, 80), (60, 80), (80, 60)]
    assert len(timing.inference) == len(timing.fusion) == 2


def paper_times(config: ModelConfig) -> tuple[int, int | None] | None:
    published = published_time(config)
    return published and (published.inference_ms, published.fusion_ms)


def test_published_times_are_those_of_the_same_model_and_size() -> None:
    assert paper_times(PRESETS["r50_512"]) == (48, 4)
    assert paper_times(PRESETS["x101_dcn_800"]) == (176, 7)
    assert paper_times(replace(PRESETS["r50_800"], input_size=640, max_input_size=1066)) == (59, 6)
    assert paper_times(replace(PRESETS["r101_800"], input_size=640)) is None
    assert paper_times(PRESETS["light_512"]) is None


def test_invalid_models_and_images_are_refused(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--images", str(tmp_path / "nowhere")], "contains no image"),
        (["--models", str(tmp_path / "no.safetensors"), "--images", str(images)], "no checkpoint at"),
        (["--models", str(checkpoint), "--images", str(images), "--precision", "fp16"], "does not support fp16"),
    ):
        assert run(tmp_path, *options) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("benchmark: ")
        assert message in line
