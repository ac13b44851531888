# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The choice of thresholds on held-out images, by the command and by a training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of, write_results
from ciae_ros.inference import (
    Calibration,
    Checkpoint,
    InferenceSettings,
    Predictor,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from tests.training.run.tiny_run import refusal, tiny_model, train_with
from tests.training.synthetic import CATEGORIES
from training import calibrate as command
from training import evaluate as evaluate_command
from training.config import load_config
from training.data.sample import read_rgb
from training.engine.builders import build_dataset, calibration_annotations
from training.evaluation.calibration import VALUES, calibrate, count_calibration_images, image_digests, is_significant
from training.evaluation.recorded_outputs import record_outputs
from training.evaluation.runner import evaluate

TOO_STRICT = InferenceSettings(score_threshold=0.99, min_stuff_area=5000)
"""With these there is no segment at all."""


@pytest.fixture(scope="module")
def annotations(data_set: Path) -> PanopticAnnotations:
    return PanopticAnnotations.load(data_set)


@pytest.fixture
def strict(finished: Path, tmp_path: Path) -> Path:
    """The trained model, with thresholds that drop everything."""
    trained = load_checkpoint(finished / "model.safetensors")
    path = tmp_path / "strict.safetensors"
    save_checkpoint(path, trained.name, trained.model, trained.categories, TOO_STRICT)
    return path


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in (*arguments, "--device", "cpu")])


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("calibrate: ")
    return line


@pytest.mark.parametrize("options", [{}, {"semantic_branch": True}])
def test_recorded_outputs_give_the_results_of_the_predictor(
    options: dict[str, bool], annotations: PanopticAnnotations, tmp_path: Path
) -> None:
    checkpoint = Checkpoint("tiny", tiny_model(**options).eval(), CATEGORIES, "")
    predictor = Predictor(checkpoint, settings=InferenceSettings(0.05, min_stuff_area=10))
    images = image_folder_of(annotations.path)
    recorded = record_outputs(predictor, annotations.first(3), images, tmp_path)
    for settings in (predictor.settings, replace(predictor.settings, score_threshold=0.11, duplicate_similarity=1.0)):
        live = Predictor(checkpoint, settings=settings)
        counts = []
        for image_id, (result, truth) in zip(recorded.files, recorded.segment(settings), strict=True):
            image = _image(annotations, image_id)
            expected = live.predict(image)
            assert np.array_equal(result.label_map, expected.label_map)
            assert result.segments == expected.segments
            assert np.array_equal(truth.ids, annotations.segment_ids(image_id))
            counts.append(len(result.segments))
        assert sum(counts) > 0


def _image(annotations: PanopticAnnotations, image_id: int | str) -> np.ndarray:
    return read_rgb(image_folder_of(annotations.path) / annotations.images[image_id]["file_name"])


def test_the_best_thresholds_are_found_and_scored_as_by_the_official_code(
    finished: Path, annotations: PanopticAnnotations, tmp_path: Path
) -> None:
    images = image_folder_of(annotations.path)
    predictor = Predictor(load_checkpoint(finished / "model.safetensors"), settings=TOO_STRICT)
    result = calibrate(predictor, annotations, images)
    assert predictor.settings == result.before == TOO_STRICT
    assert result.score_before.all == 0
    assert result.score_after.all > 0.2
    predictor.settings = result.after
    scores = evaluate(predictor, annotations, images, tmp_path)
    found = (scores.all.pq, scores.things.pq, scores.stuff.pq)
    assert (result.score_after.all, result.score_after.things, result.score_after.stuff) == pytest.approx(found)
    # No single change improves it further.
    for name, values in VALUES.items():
        for value in values:
            predictor.settings = result.after.override(**{name: value})
            assert evaluate(predictor, annotations, images, tmp_path).all.pq <= scores.all.pq + 1e-9


def test_thresholds_are_found_again(data: Path, tmp_path: Path) -> None:
    """The ground truth is the model's own result with other thresholds, on street images with people and cars."""
    photos = sorted((data / "camvid_480x360" / "test").glob("*.jpg"))[10::20]
    predictor = Predictor(load_model("scenes_light"), settings=InferenceSettings(0.3, min_stuff_area=256))
    results = [(path.stem, f"{path.stem}.png", predictor.predict(read_rgb(path))) for path in photos]
    images = {path.stem: {"id": path.stem, "file_name": path.name} for path in photos}
    categories = predictor.categories
    ids = {category.id: category.id for category in categories.categories}
    truth = PanopticAnnotations(tmp_path / "truth.json", tmp_path / "truth", images, {}, categories, ids)
    write_results(results, truth.path, truth)
    predictor.settings = InferenceSettings(0.7, duplicate_similarity=1.0, min_stuff_area=4096)
    found = calibrate(predictor, PanopticAnnotations.load(truth.path), photos[0].parent)
    assert found.score_before.all < 0.9
    assert found.score_after.all == found.score_after.things == 1
    assert found.after.score_threshold == 0.3


def test_a_gain_that_a_few_images_outweigh_is_chance() -> None:
    """One class with 10 true segments in each of 10 images; IoUs are 0.8."""
    present = np.tile([[5.0, 0.0, 5.0, 4.0]], (10, 1, 1))
    everywhere, once = present.copy(), present.copy()
    everywhere[:, 0] += [1, 0, -1, 0.8]
    once[3, 0] += [5, 0, -5, 4.0]
    once[4:7, 0] -= [1, 0, -1, 0.8]
    assert is_significant(everywhere, present)
    assert not is_significant(once, present)
    assert not is_significant(present, everywhere) and not is_significant(present, present)
    assert is_significant(once[3:4], present[3:4])  # There is no error of a single image.


def test_settings_that_make_no_difference_stay(finished: Path, annotations: PanopticAnnotations) -> None:
    predictor = Predictor(load_checkpoint(finished / "model.safetensors"), settings=TOO_STRICT)
    best = calibrate(predictor, annotations, image_folder_of(annotations.path))
    again = Predictor(load_checkpoint(finished / "model.safetensors"), settings=best.after)
    result = calibrate(again, annotations, image_folder_of(annotations.path))
    assert result.after == best.after
    assert result.num_trials <= 1 + sum(map(len, VALUES.values()))


def test_the_command_writes_the_thresholds_into_the_checkpoint(
    strict: Path, data_set: Path, annotations: PanopticAnnotations, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_checkpoint(strict)
    assert run(strict, data_set, "--limit", 4) == 0
    after = load_checkpoint(strict)
    printed = capsys.readouterr().out
    assert f"written to {strict}" in printed
    assert "on 4 images of panoptic_tiny.json" in printed
    assert f"min_stuff_area            5000{after.settings.min_stuff_area:8g}" in printed
    assert after.settings.min_stuff_area < 5000
    assert (after.name, after.categories) == (before.name, before.categories)
    state = after.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in before.model.state_dict().items())
    assert after.calibration is not None and len(after.calibration.images) == 4
    assert count_calibration_images(after.calibration, annotations, image_folder_of(data_set)) == 4


def test_another_file_may_be_written(strict: Path, data_set: Path, tmp_path: Path) -> None:
    before, copy = strict.read_bytes(), tmp_path / "copy.safetensors"
    assert run(strict, data_set, "--limit", 2, "--output", copy) == 0
    assert strict.read_bytes() == before
    assert load_checkpoint(copy).settings != TOO_STRICT


def test_evaluation_on_the_same_images_says_so(
    strict: Path, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(strict, data_set, "--limit", 3) == 0
    capsys.readouterr()
    report = tmp_path / "scores.json"
    assert evaluate_command.main([str(strict), str(data_set), "--json", str(report), "--device", "cpu"]) == 0
    assert "thresholds were chosen on 3 of these images" in capsys.readouterr().out
    assert json.loads(report.read_text())["calibration_images"] == 3


def test_images_are_recognised_wherever_they_are(
    annotations: PanopticAnnotations, data_set: Path, tmp_path: Path
) -> None:
    images = image_folder_of(data_set)
    first = (images / annotations.images[1]["file_name"]).read_bytes()
    shutil.copytree(images, tmp_path / "copy")
    calibration = Calibration("other.json", frozenset(image_digests(annotations.first(1), images)))
    assert count_calibration_images(calibration, annotations, tmp_path / "copy") == 1
    (tmp_path / "copy" / annotations.images[1]["file_name"]).write_bytes(first + b"\0")
    assert count_calibration_images(calibration, annotations, tmp_path / "copy") == 0
    assert count_calibration_images(None, annotations, tmp_path / "copy") == 0


def test_what_cannot_be_calibrated_is_refused_and_stays(
    strict: Path, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = strict.read_bytes()
    assert "comes with the package" in _refused(capsys, "scenes_light", data_set)
    assert "untrained/light_512 has no file" in _refused(capsys, "untrained/light_512", data_set)
    assert "no checkpoint at" in _refused(capsys, tmp_path / "no.safetensors", data_set)
    assert "the folder of" in _refused(capsys, strict, data_set, "--output", tmp_path / "no" / "file.safetensors")
    assert "differ from those of the data" in _refused(
        capsys, "scenes_light", data_set, "--output", tmp_path / "copy.safetensors"
    )
    assert "is missing" in _refused(capsys, strict, data_set, "--images", tmp_path)
    assert strict.read_bytes() == before
    assert not (tmp_path / "copy.safetensors").exists()


def test_a_training_holds_images_out_and_chooses_its_thresholds_on_them(
    config: Path, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [
        "data.calibration_images=2",
        "data.max_images=7",
        f"data.val={data_set}",
        "inference.min_stuff_area=5000",
    ]
    training = load_config(config, overrides)
    assert build_dataset(training).image_ids == [1, 2, 3, 4, 5]
    held_out = calibration_annotations(training.data)
    assert held_out is not None and list(held_out.annotations) == [6, 7]
    output = tmp_path / "run"
    assert train_with(config, output, *overrides) == 0
    assert "thresholds chosen on 2 held-out images: score_threshold" in capsys.readouterr().out
    for name in ("model.safetensors", "best.safetensors"):
        trained = load_checkpoint(output / name)
        assert trained.settings.min_stuff_area < 5000
        assert count_calibration_images(trained.calibration, held_out, image_folder_of(data_set)) == 2


def test_a_training_needs_images(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_with(config, tmp_path / "run", "data.calibration_images=8") == 1
    assert "data.calibration_images: 8 of 8 images leave none for training" in refusal(capsys)


def test_without_held_out_images_the_configured_thresholds_stay(config: Path, finished: Path) -> None:
    trained = load_checkpoint(finished / "model.safetensors")
    assert trained.settings == load_config(config, []).inference
    assert trained.calibration is None
