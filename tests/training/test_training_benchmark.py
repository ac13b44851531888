# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Table I's times on two images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ciae_ros.inference import InferenceSettings, Predictor, load_checkpoint, save_checkpoint
from ciae_ros.model import CIAE, PRESETS
from tests.training.synthetic import CATEGORIES
from training.benchmark import main, paper_times, time_images

LIGHT = replace(PRESETS["light_512"], num_stuff_classes=2, num_thing_classes=2, input_size=64, max_input_size=128)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "random.safetensors"
    save_checkpoint(path, "random", CIAE(LIGHT).eval(), CATEGORIES, InferenceSettings(score_threshold=0.05))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of different shapes, and what is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (60, 80, 3)), ("b.JPG", (80, 60, 3))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, shape, np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_times_of_two_images(checkpoint: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--checkpoint", str(checkpoint), "--images", str(images), "--device", "cpu", "--warm-up", "3"]
    assert main([*command, "--sizes", "64", "96"]) == 0
    printed = capsys.readouterr().out
    assert f"cpu, torch {torch.__version__}, fp32, " in printed
    assert f"2 images of {images}, one at a time, after 3 to warm up" in printed
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in printed.splitlines() if line.startswith("| random")]
    assert [row[:2] for row in rows] == [["random", "64"], ["random", "96"]]
    for row in rows:
        inference, _, fusion, _, instances = map(float, row[2:7])
        assert 0 < fusion < inference
        assert instances > 0
        assert row[7:] == ["-", "-"]
    assert "random weights" not in printed


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
    assert timing.inference.shape == timing.fusion.shape == (2,)


def test_random_weights_say_so(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--preset", "light_512", "--sizes", "64", "--images", str(images), "--device", "cpu", "--warm-up", "0"]
    assert main([*command, "--limit", "1", "--score-threshold", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "1 images of" in printed
    assert "| light_512 (untrained) | 64 " in printed
    assert "random weights: " in printed


def test_papers_times_are_of_the_same_model_and_size() -> None:
    assert paper_times(PRESETS["r50_512"]) == (48, 4)
    assert paper_times(PRESETS["x101_dcn_800"]) == (176, 7)
    assert paper_times(replace(PRESETS["r50_800"], input_size=640, max_input_size=1066)) == (59, 6)
    assert paper_times(replace(PRESETS["r101_800"], input_size=640)) is None
    assert paper_times(PRESETS["light_512"]) is None


def test_what_cannot_be_timed_is_refused(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--images", str(tmp_path / "nowhere")], "no images in"),
        (["--checkpoint", str(tmp_path / "no.safetensors"), "--images", str(images)], "no checkpoint at"),
        (["--checkpoint", str(checkpoint), "--images", str(images), "--precision", "fp16"], "does not support fp16"),
    ):
        assert main([*options, "--device", "cpu"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("benchmark: ")
        assert message in line
