# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The command `evaluate`: scores on the screen and in files, and refusals."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from panopticapi.evaluation import pq_compute

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import InferenceSettings, Predictor, coco_categories, load_checkpoint, save_checkpoint
from ciae_ros.model import CIAE, PRESETS, ModelConfig
from tests.training.evaluation import official_engine
from tests.training.synthetic import CATEGORIES, scene, write_split
from training.evaluate import main
from training.evaluation.metrics import compute_scores
from training.evaluation.runner import evaluate, results_path

LIGHT = replace(PRESETS["light_512"], num_stuff_classes=2, num_thing_classes=2, input_size=64, max_input_size=128)
# Random weights propose instances only at a low threshold.
LENIENT = InferenceSettings(score_threshold=0.05, max_instances=10, min_stuff_area=10)


@pytest.fixture
def annotations(tmp_path: Path) -> PanopticAnnotations:
    return write_split(tmp_path / "data", {number: scene(number) for number in (1, 2, 3)})


def write_checkpoint(path: Path, config: ModelConfig = LIGHT) -> Path:
    torch.manual_seed(3)
    save_checkpoint(path, "random", CIAE(config).eval(), CATEGORIES, LENIENT)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "random.safetensors")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in (*arguments, "--device", "cpu")])


def test_end_to_end(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, output = tmp_path / "scores.json", tmp_path / "output"
    assert run(checkpoint, annotations.path, "--output", output, "--json", report) == 0
    printed = capsys.readouterr().out
    assert "3 images of panoptic_tiny.json" in printed
    content = json.loads(report.read_text())
    path = output / "panoptic_tiny_ciae_results.json"
    expected = compute_scores(annotations, path, official_engine)
    assert content["scores"]["all"] == pytest.approx(vars(expected.all))
    assert content["scores"]["mean_iou"] == pytest.approx(expected.mean_iou)
    assert 0 < expected.mean_iou < 1
    assert content["settings"]["score_threshold"] == 0.05
    assert f"mIoU       {100 * expected.mean_iou:6.1f}" in printed
    assert any(line.startswith("road") for line in printed.splitlines())


def test_written_results_are_what_the_official_evaluator_reads(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluation.runner.READ_AHEAD", 1)
    predictor = Predictor(load_checkpoint(checkpoint))
    scores = evaluate(predictor, annotations, tmp_path / "data" / "tiny", tmp_path / "output")
    path = results_path(tmp_path / "output", annotations)
    with redirect_stdout(io.StringIO()):
        official = pq_compute(str(annotations.path), str(path))
    quality = (scores.all.pq, scores.all.sq, scores.all.rq, scores.all.num_classes)
    assert quality == pytest.approx(tuple(official["All"][name] for name in ("pq", "sq", "rq", "n")))
    content = json.loads(path.read_text())
    assert [entry["image_id"] for entry in content["annotations"]] == [1, 2, 3]
    image = cv2.imread(str(tmp_path / "data" / "tiny" / "0002.png"))
    expected = predictor.predict(image, "bgr")
    png = cv2.imread(str(path.with_suffix("") / "0002.png")).astype(np.int64)
    assert np.array_equal(png @ [65536, 256, 1], expected.label_map)
    assert [info["category_id"] for info in content["annotations"][1]["segments_info"]] == [
        segment.category.id for segment in expected.segments
    ]


def test_options_take_effect(checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path) -> None:
    report = tmp_path / "scores.json"

    def content(*options: object) -> dict:
        assert run(checkpoint, annotations.path, "--json", report, *options) == 0
        return json.loads(report.read_text())

    default = content()
    few = content(
        "--limit", 2, "--output", tmp_path, "--score-threshold", 1, "--min-stuff-area", 5000, "--input-size", 96
    )
    assert (few["limit"], few["input_size"], few["settings"]["min_stuff_area"]) == (2, 96, 5000)
    assert len(PanopticAnnotations.load(results_path(tmp_path, annotations)).annotations) == 2
    # All proposals were dropped.
    assert few["scores"]["all"]["pq"] == few["scores"]["mean_iou"] == 0
    oracle = content("--oracle")
    assert oracle["oracle"] is True
    assert oracle["scores"]["things"]["pq"] > default["scores"]["things"]["pq"]
    assert content("--precision", "bf16", "--nms-threshold", 0.2)["precision"] == "bf16"


def test_instance_category_has_the_selected_source(annotations: PanopticAnnotations, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "per_class.safetensors", replace(LIGHT, memory_of_things="per_class"))

    def categories(source: str) -> list[int]:
        assert run(path, annotations.path, "--output", tmp_path / source, "--instance-category", source) == 0
        content = json.loads(results_path(tmp_path / source, annotations).read_text())
        return [info["category_id"] for entry in content["annotations"] for info in entry["segments_info"]]

    from_detector, from_embedding = categories("detector"), categories("embedding")
    assert len(from_detector) == len(from_embedding) > 3
    assert from_detector != from_embedding


def test_images_may_lie_elsewhere(checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path) -> None:
    shutil.move(tmp_path / "data" / "tiny", tmp_path / "elsewhere")
    assert run(checkpoint, annotations.path, "--images", tmp_path / "elsewhere") == 0


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the line on stderr of a failing command."""
    assert run(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("evaluate: ")
    return line


def test_missing_files_are_named(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no checkpoint at" in refusal(capsys, tmp_path / "no.safetensors", annotations.path)
    assert "no.json" in refusal(capsys, checkpoint, tmp_path / "no.json")
    (tmp_path / "data" / "tiny" / "0003.png").unlink()
    assert "0003.png is missing" in refusal(capsys, checkpoint, annotations.path)
    (annotations.png_folder / "0002.png").unlink()
    assert "panoptic_tiny/0002.png is missing" in refusal(capsys, checkpoint, annotations.path)


def test_corrupt_image_is_named_and_leaves_no_results(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    assert run(checkpoint, annotations.path, "--output", output) == 0
    capsys.readouterr()
    image = tmp_path / "data" / "tiny" / "0002.png"
    image.write_bytes(image.read_bytes()[:2000])
    reason = "0002.png cannot be read: a PNG image of 2000 bytes is corrupt"
    assert reason in refusal(capsys, checkpoint, annotations.path, "--output", output)
    assert not results_path(output, annotations).exists()


def test_image_of_another_size_is_named(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "data" / "tiny" / "0001.png"), np.zeros((80, 60, 3), np.uint8))
    assert "80 x 60" in refusal(capsys, checkpoint, annotations.path)


def test_other_categories_are_refused(
    checkpoint: Path, annotations: PanopticAnnotations, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(annotations.path.read_text())
    content["categories"] = coco_categories().to_coco()
    annotations.path.write_text(json.dumps(content))
    assert "(4) differ from those of the data (133); only in the network: sky; " in refusal(
        capsys, checkpoint, annotations.path
    )


def test_annotations_of_nothing_are_refused(
    checkpoint: Path, annotations: PanopticAnnotations, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(annotations.path.read_text())
    annotations.path.write_text(json.dumps({**content, "images": content["images"][1:]}))
    assert "annotates image 1" in refusal(capsys, checkpoint, annotations.path)
    annotations.path.write_text(json.dumps({**content, "annotations": []}))
    assert "no annotated image" in refusal(capsys, checkpoint, annotations.path)


def test_results_are_not_written_outside_of_their_folder(
    checkpoint: Path, annotations: PanopticAnnotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(annotations.path.read_text())
    png = annotations.png_folder / "0001.png"
    content["annotations"][0]["file_name"] = str(png)
    annotations.path.write_text(json.dumps(content))
    before = png.read_bytes()
    assert f"{png} is not in the folder" in refusal(capsys, checkpoint, annotations.path, "--output", tmp_path / "out")
    assert png.read_bytes() == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--instance-category", "embedding"), 'needs memory_of_things "per_class"'),
        (("--score-threshold", 1.5), "score_threshold must be in 0..1"),
        (("--min-stuff-area", -1), "min_stuff_area must not be negative"),
        (("--precision", "fp16"), "does not support fp16"),
        (("--json", "/no/such/scores.json"), "folder of /no/such/scores.json does not exist"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: tuple[object, ...],
    message: str,
    checkpoint: Path,
    annotations: PanopticAnnotations,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in refusal(capsys, checkpoint, annotations.path, *options)


@pytest.mark.parametrize(
    "options", [("--limit", 0), ("--input-size", "big"), ("--oracle", "--instance-category", "detector"), ("--what",)]
)
def test_wrong_usage_is_explained(
    options: tuple[object, ...], checkpoint: Path, annotations: PanopticAnnotations, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(checkpoint, annotations.path, *options)
    assert ended.value.code == 2
    assert "usage: python -m training.evaluate" in capsys.readouterr().err
