# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of bags: complete and resumed runs, refusals, and skipped parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import Predictor, load_checkpoint, save_checkpoint
from ciae_ros.model import CIAE
from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag_writing import header, new_bag, raw_image, write_bag
from ciae_ros.replay.bags.definitions import IMAGE, typestore
from ciae_ros.replay.bags.ground_truth import open_ground_truth
from ciae_ros.replay.bags.types import REPEATED_STAMP
from ciae_ros.replay.evaluation import run_evaluation as evaluation
from ciae_ros.replay.evaluation.model_options import ModelOptions
from ciae_ros.replay.evaluation.run_evaluation import EvaluationConfig, evaluate
from ciae_ros.replay.evaluation.run_folder import RunFolderError, read_run
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.summary import summarize
from ciae_ros.replay.playback.node_responses import NodeResponse, measure_responses
from tests.training.evaluation.test_evaluate import LENIENT, LIGHT
from tests.training.synthetic import CATEGORIES, scene, write_split
from training.evaluation.runner import evaluate as evaluate_images

TOPIC = "/camera/image_raw"
SECOND = 10**9
FRAMES = 7
TIMES = ["decode", "preprocess", "network", "proposals", "fusion", "download", "latency"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    torch.manual_seed(3)
    save_checkpoint(path, "random", CIAE(LIGHT).eval(), CATEGORIES, LENIENT)
    return path


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> PanopticAnnotations:
    """Ground truth of images whose names are their numbers in the bag."""
    scenes = {number: scene(number) for number in range(FRAMES)}
    return write_split(tmp_path_factory.mktemp("data"), scenes)


@pytest.fixture(scope="module")
def images(annotations: PanopticAnnotations) -> list[np.ndarray]:
    folder = image_folder_of(annotations.path)
    return [cv2.imread(str(folder / entry["file_name"])) for entry in annotations.images.values()]


@pytest.fixture(scope="module")
def bag(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_bag(path, ((TOPIC, SECOND + i * SECOND // 10, image) for i, image in enumerate(images)))
    return path


def config(bags: list[Path], output: Path, checkpoint: Path, **choices: object) -> EvaluationConfig:
    return EvaluationConfig(bags, output, ModelOptions(str(checkpoint), "cpu"), shard_frames=3, **choices)  # type: ignore[arg-type]


def assert_same_results(one: EvaluationRun, other: EvaluationRun) -> None:
    for name in ("frames", "segments", "confusion", "overlaps"):
        tables = [getattr(run, name).drop(columns=TIMES, errors="ignore") for run in (one, other)]
        pd.testing.assert_frame_equal(*tables, rtol=1e-6)


@pytest.fixture(scope="module")
def whole(
    bag: Path, annotations: PanopticAnnotations, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationRun:
    output = tmp_path_factory.mktemp("whole") / "run"
    return evaluate(config([bag], output, checkpoint, ground_truth=str(annotations.path)))


def test_every_frame_is_in_the_run(whole: EvaluationRun) -> None:
    frames = whole.frames
    assert list(frames["index"]) == list(range(FRAMES))
    assert list(frames["stamp"]) == [SECOND + i * SECOND // 10 for i in range(FRAMES)]
    assert frames["time"].to_numpy() == pytest.approx(np.arange(FRAMES) / 10)
    assert (frames["problem"] == "").all()
    assert frames["has_truth"].all()
    assert (frames["latency"] > 0).all()
    assert frames["latency"].to_numpy() == pytest.approx(frames[TIMES[1:-1]].sum(axis=1).to_numpy())
    assert all((whole.folder / picture).is_file() for picture in frames["picture"])
    # The first frame of a shard, but not of the sequence, is compared with the previous one.
    assert list(frames["changed"].iloc[[0, 3]].notna()) == [False, True]
    assert whole.metadata["problems"] == []


def test_scores_are_those_of_evaluating_the_images(
    whole: EvaluationRun, annotations: PanopticAnnotations, checkpoint: Path, tmp_path: Path
) -> None:
    predictor = Predictor(load_checkpoint(checkpoint))
    scores = evaluate_images(predictor, annotations, image_folder_of(annotations.path), tmp_path)
    found = summarize(whole)
    assert found["pq"] == pytest.approx(100 * scores.all.pq, abs=1e-6)
    assert found["sq"] == pytest.approx(100 * scores.all.sq, abs=1e-6)
    assert found["pq_things"] == pytest.approx(100 * scores.things.pq, abs=1e-6)
    assert found["miou"] == pytest.approx(100 * scores.mean_iou, abs=1e-6)


def test_a_stopped_run_resumes(
    whole: EvaluationRun,
    bag: Path,
    annotations: PanopticAnnotations,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = config([bag], tmp_path / "run", checkpoint, ground_truth=str(annotations.path))
    undisturbed = evaluation._one_by_one
    evaluated: list[int] = []

    def two_shards(*arguments: object) -> Iterator[object]:
        for count, found in enumerate(undisturbed(*arguments)):  # type: ignore[arg-type]
            evaluated.append(found[0].start)
            yield found
            if count == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "_one_by_one", two_shards)
    with pytest.raises(KeyboardInterrupt):
        evaluate(wanted)
    with pytest.raises(RunFolderError, match="not finished"):
        read_run(tmp_path / "run")
    assert_same_results(evaluate(wanted), whole)
    assert evaluated == [0, 3, 6]


def test_another_run_is_not_overwritten(whole: EvaluationRun, bag: Path, checkpoint: Path) -> None:
    with pytest.raises(RunFolderError, match="a run with different ground truth"):
        evaluate(config([bag], whole.folder, checkpoint))


def run_command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_command(
    bag: Path, annotations: PanopticAnnotations, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    options = ("evaluate", bag, "--model", checkpoint, "--device", "cpu", "--output", output)
    truth = ("--ground-truth", annotations.path)
    assert run_command(*options, *truth, "--require", "pq>=0 frames==7") == 0
    printed = capsys.readouterr().out
    assert "7 frames, pq " in printed
    assert str(output / "report.html") in printed
    assert (output / "report.html").stat().st_size > 10000
    content = json.loads((output / "report.json").read_text())
    assert content
    assert run_command("report", output, "--require", "pq>=99.9, latency_p99<=1e-9") == 3
    error = capsys.readouterr().err
    assert "pq" in error
    assert "latency_p99" in error


def test_a_bad_bag_does_not_stop_the_rest(
    bag: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--model", checkpoint, "--device", "cpu", "--output", tmp_path / "run")
    assert run_command("evaluate", tmp_path / "empty", bag, tmp_path / "nowhere", *options) == 1
    said = capsys.readouterr()
    assert "7 frames" in said.out
    problems = said.err.splitlines()
    assert len(problems) == 2, problems
    assert str(tmp_path / "empty") in problems[0]
    assert str(tmp_path / "nowhere") in problems[1]


def test_a_truncated_sqlite_file_is_evaluated_as_far_as_possible(
    images: list[np.ndarray], checkpoint: Path, tmp_path: Path
) -> None:
    frames = ((TOPIC, SECOND + i * SECOND // 10, image) for i, image in enumerate(images * 10))
    write_bag(tmp_path / "drive", frames, storage="sqlite3")
    (file,) = (tmp_path / "drive").glob("*.db3")
    with file.open("r+b") as opened:
        opened.truncate(int(0.6 * file.stat().st_size))
    run = evaluate(config([tmp_path / "drive"], tmp_path / "run", checkpoint))
    assert 0.4 * 70 < len(run.frames) < 70
    assert (run.frames["problem"] == "").all()
    assert any("corrupt" in problem for problem in run.metadata["problems"])


@pytest.mark.parametrize("wrong", [("--require", "speed>=3"), ("--require", "pq")])
def test_invalid_requirements_are_refused_before_the_run(
    wrong: tuple[str, str], bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command("evaluate", bag, "--output", tmp_path / "run", *wrong)
    assert ended.value.code == 2
    assert wrong[1].split(">")[0] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("--topics", "/no/such"), "/camera/image_raw"),
        (("--model", "/no/such.safetensors"), "no checkpoint at /no/such.safetensors"),
        (("--ground-truth", "/no/such"), "/no/such"),
        (("--score-threshold", "7"), "score_threshold must be in 0..1"),
    ],
)
def test_invalid_input_is_reported_in_one_line(
    bag: Path,
    checkpoint: Path,
    tmp_path: Path,
    choice: tuple[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--model", checkpoint, "--device", "cpu", "--output", tmp_path / "run")
    assert run_command("evaluate", bag, *options, *choice) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("replay: ")
    assert message in line


def test_ground_truth_of_other_frames_is_reported(
    bag: Path, annotations: PanopticAnnotations, checkpoint: Path, tmp_path: Path
) -> None:
    content = json.loads(annotations.path.read_text())
    for entry in content["images"]:
        entry["file_name"] = f"other_{entry['file_name']}"
    folder = tmp_path / "truth"
    shutil.copytree(annotations.path.with_suffix(""), folder / "panoptic_tiny")
    (folder / "panoptic_tiny.json").write_text(json.dumps(content))
    run = evaluate(config([bag], tmp_path / "run", checkpoint, ground_truth=str(folder)))
    assert not run.frames["has_truth"].any()
    assert any("no frame has ground truth" in problem for problem in run.metadata["problems"])
    assert np.isnan(summarize(run)["pq"])


STAMPS = [SECOND, SECOND, 2 * SECOND, 3 * SECOND, SECOND, 5 * SECOND, 6 * SECOND]
"""Of three frames, in different shards, the stamps are equal."""


@pytest.fixture(scope="module")
def bag_with_equal_stamps(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "equal"
    with new_bag(path, "mcap") as writer:
        connection = writer.add_connection(TOPIC, IMAGE, typestore=typestore())
        for index, (stamp, image) in enumerate(zip(STAMPS, images, strict=True)):
            data = typestore().serialize_cdr(raw_image(header(stamp), image), IMAGE)
            writer.write(connection, SECOND + index * SECOND, data)
    return path


def with_stamps(annotations: PanopticAnnotations, folder: Path) -> Path:
    """The ground truth of the frames whose stamps are unique, and of one whose is not."""
    content = json.loads(annotations.path.read_text())
    content["images"] = [
        {**entry, "file_name": f"any{number}.jpg", "stamp": STAMPS[number]}
        for number, entry in enumerate(content["images"])
        if number not in (0, 1)
    ]
    path = folder / annotations.path.name
    path.write_text(json.dumps(content))
    path.with_suffix("").symlink_to(annotations.path.with_suffix(""))
    return path


def test_frames_with_equal_stamps_get_no_ground_truth_by_stamp(
    bag_with_equal_stamps: Path, annotations: PanopticAnnotations, checkpoint: Path, tmp_path: Path
) -> None:
    truth = with_stamps(annotations, tmp_path)
    run = evaluate(config([bag_with_equal_stamps], tmp_path / "run", checkpoint, ground_truth=str(truth)))
    assert list(run.frames["has_truth"]) == [STAMPS.count(stamp) == 1 for stamp in STAMPS]
    (problem,) = run.metadata["problems"]
    assert "1 repeat that of the previous frame" in problem
    assert "frames with equal stamps get no ground truth by stamp" in problem


def test_frames_with_equal_stamps_get_their_ground_truth_by_number(
    bag_with_equal_stamps: Path,
    annotations: PanopticAnnotations,
    checkpoint: Path,
    whole: EvaluationRun,
    tmp_path: Path,
) -> None:
    made = config([bag_with_equal_stamps], tmp_path / "run", checkpoint, ground_truth=str(annotations.path))
    assert list(evaluate(made).frames["pq"]) == pytest.approx(list(whole.frames["pq"]), nan_ok=True)


def test_responses_to_frames_with_equal_stamps_are_not_scored(
    bag_with_equal_stamps: Path, annotations: PanopticAnnotations
) -> None:
    shard = Shard(bag_with_equal_stamps, "equal", TOPIC, 0, FRAMES)
    responses = {}
    for stamp in STAMPS:
        responses[stamp] = NodeResponse(published=1.0, arrived=2.0)
        responses[stamp].set_labels(np.zeros((60, 80), np.uint16))
        responses[stamp].set_segments([])
    truth = open_ground_truth(annotations.path, CATEGORIES)
    frames = measure_responses(shard, responses, CATEGORIES, lambda _: truth, keep_label_maps=False).frames
    is_unique = [STAMPS.count(stamp) == 1 for stamp in STAMPS]
    assert list(frames["problem"]) == ["" if unique else REPEATED_STAMP for unique in is_unique]
    assert list(frames["has_truth"]) == list(frames["latency"].notna()) == is_unique
