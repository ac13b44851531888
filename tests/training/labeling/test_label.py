# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`python -m training.label`: from recordings to a data set."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.ground_truth import open_ground_truth
from tests.inference.loading.huggingface_models import write_model
from tests.training.labeling.recordings import SIZE, write_drive, write_folder, write_teacher, write_video
from training import check_data
from training.label import main

ROOT = Path(__file__).parents[3]
ROADS = ROOT / "config" / "label_maps" / "road_scenes.yaml"


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    return str(write_teacher(tmp_path))


def label(*arguments: str | Path, output: Path, options: tuple[str, ...] = ()) -> int:
    return main([*map(str, arguments), "--output", str(output), *options])


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a data set by name, except for the page, which names the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "review.html")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def annotations(folder: Path, split: str = "train") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "annotations" / f"panoptic_{split}.json").read_text())
    return found


def is_valid(folder: Path, split: str = "train") -> bool:
    return check_data.main([str(folder / "annotations" / f"panoptic_{split}.json")]) == 0


def test_bags_videos_and_folders_become_a_data_set(tmp_path: Path, teacher: str) -> None:
    sources = write_drive(tmp_path / "drive"), write_video(tmp_path / "clip.mp4"), write_folder(tmp_path / "images")
    output = tmp_path / "labels"
    options = "--interval", "0.2", "--hold-out", "0.25", "--mirror"
    assert label(*sources, "--teacher", teacher, output=output, options=options) == 0
    assert is_valid(output)
    assert is_valid(output, "val")
    names = [image["file_name"] for split in ("train", "val") for image in annotations(output, split)["images"]]
    assert names == [
        *("drive_000000.jpg", "drive_000002.jpg", "drive_000004.jpg"),
        *("clip_000000.jpg", "clip_000002.jpg", "clip_000004.jpg"),
        *("images_000000.jpg", "images_000001.jpg", "images_000002.jpg"),
        *("drive_000006.jpg", "clip_000006.jpg", "images_000003.jpg"),
    ]
    found = annotations(output)
    assert [one["name"] for one in found["categories"]] == ["road", "sky", "car"]
    assert found["images"][1]["stamp"] == 10**12 + 2 * 10**8
    assert (found["images"][1]["bag"], found["images"][1]["topic"]) == ("drive", "/camera/image_raw")
    for annotation in found["annotations"]:
        assert [one["score"] for one in annotation["segments_info"]] == [1.0, 1.0, 0.9]
        assert all(one["agreement"] > 0.9 for one in annotation["segments_info"])
    page = (output / "review.html").read_text()
    assert "labelled by colors (right)" in page
    assert page.count('class="card"') == len(names)


def test_the_labels_are_ground_truth_for_replay(tmp_path: Path, teacher: str) -> None:
    bag, output = write_drive(tmp_path / "drive"), tmp_path / "labels"
    assert label(bag, "--teacher", teacher, output=output) == 0
    path = output / "annotations" / "panoptic_train.json"
    truth = open_ground_truth(path, PanopticAnnotations.load(path).categories)
    with open_bag(bag) as opened:
        found = [truth.find(frame) is not None for frame in opened.frames("/camera/image_raw")]
    assert found == [number in (0, 5) for number in range(8)]


def test_the_same_labels_after_an_interruption(tmp_path: Path) -> None:
    """Interrupted by an error of the teacher, by `kill -9`, and in the middle of a line."""
    bag = write_drive(tmp_path / "drive", frames=12, change=6)
    options = ("--interval", "0", "--batch", "2", "--neighbors", "1", "--hold-out", "0.3")
    teacher = str(write_teacher(tmp_path))
    assert label(bag, "--teacher", teacher, output=tmp_path / "whole", options=options) == 0
    resumed = tmp_path / "resumed"
    command = [sys.executable, "-m", "training.label", str(bag), "--teacher", teacher, "--output", str(resumed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([*command, *options], env=environment) as process:
        journal, end = resumed / "labels.jsonl", time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2) and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (resumed / "annotations" / "panoptic_train.json").exists(), "it was too late"
    with journal.open("ab") as file:
        file.write(b'{"name": "drive_0000')
    assert label(bag, "--teacher", teacher, output=resumed, options=options) == 0
    assert content(resumed) == content(tmp_path / "whole")


def test_a_complete_data_set_is_left_alone(tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]) -> None:
    bag, output = write_drive(tmp_path / "drive"), tmp_path / "labels"
    assert label(bag, "--teacher", teacher, output=output) == 0
    path = output / "annotations" / "panoptic_train.json"
    changed = path.read_text().replace('"certainty"', '"reviewed": true, "certainty"')
    path.write_text(changed)
    assert label(bag, "--teacher", teacher, output=output) == 0
    assert path.read_text() == changed
    capsys.readouterr()
    assert label(bag, "--teacher", teacher, output=output, options=("--mirror",)) == 1
    assert "was labelled with different settings" in capsys.readouterr().err
    assert label(bag, "--teacher", f"{teacher}?score=0.8", output=output) == 1
    assert "was labelled with different teachers" in capsys.readouterr().err
    assert label(bag, "--teacher", teacher, output=tmp_path) == 1
    assert "contains something else" in capsys.readouterr().err


def test_an_unreadable_bag_among_good_ones(tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"\x89MCAP0\r\nno more")
    good, output = write_drive(tmp_path / "drive"), tmp_path / "labels"
    assert label(broken, good, "--teacher", teacher, output=output) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("label:")]
    assert len(lines) == 1
    assert "broken.mcap" in lines[0]
    assert len(annotations(output)["images"]) == 2
    assert is_valid(output)


def test_an_unreadable_image_of_a_folder_is_left_out(
    tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = write_folder(tmp_path / "images"), tmp_path / "labels"
    (folder / "002.png").write_bytes(b"no image")
    assert label(folder, "--teacher", teacher, output=output) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("label: note: left out: ")
    assert "002.png" in line
    assert len(annotations(output)["images"]) == 3


def test_a_truncated_bag_is_a_problem_but_labelled(
    tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = write_drive(tmp_path / "drive").glob("*.mcap")
    truncated, output = tmp_path / "truncated.mcap", tmp_path / "labels"
    truncated.write_bytes(file.read_bytes()[:-100])
    options = ("--interval", "0")
    assert label(truncated, "--teacher", teacher, output=output, options=options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "truncated.mcap" in line
    assert len(annotations(output)["images"]) == 8


def test_frames_with_equal_stamps_have_none(tmp_path: Path, teacher: str) -> None:
    bag, output = write_drive(tmp_path / "drive", period=0.0), tmp_path / "labels"
    assert label(bag, "--teacher", teacher, output=output, options=("--interval", "0")) == 0
    found = annotations(output)["images"]
    assert len(found) == 8
    assert not any("stamp" in image for image in found)
    path = output / "annotations" / "panoptic_train.json"
    open_ground_truth(path, PanopticAnnotations.load(path).categories)


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs unshare with user namespaces for a small disk",
)
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, teacher: str) -> None:
    bag, disk = write_drive(tmp_path / "drive", frames=12, change=6), tmp_path / "disk"
    disk.mkdir()
    command = f"{sys.executable} -m training.label {bag} --teacher {teacher} --interval 0 --output {disk}/labels"
    script = (
        f"mount -t tmpfs -o size=120k none {disk} && {command}; echo code $?; "
        f"mount -o remount,size=20m {disk} && {command}; echo code $?; cp -r {disk}/labels {tmp_path}/copy"
    )
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout.splitlines()[0] == "code 1"
    lines = [line for line in run.stderr.splitlines() if line.startswith("label:")]
    assert len(lines) == 1, run.stderr
    assert lines[0].endswith("No space left on device: free some space; the same command continues")
    assert run.stdout.splitlines()[-1] == "code 0", run.stderr
    assert label(bag, "--teacher", teacher, output=tmp_path / "whole", options=("--interval", "0")) == 0
    assert content(tmp_path / "copy") == content(tmp_path / "whole")


def test_several_teachers_vote(tmp_path: Path, teacher: str) -> None:
    bag = write_drive(tmp_path / "drive")
    blind = f"{teacher}?kind=blind"
    options = ("--map", str(ROADS))
    both, outvoted = tmp_path / "both", tmp_path / "outvoted"
    assert label(bag, "--teacher", teacher, "--teacher", blind, output=both, options=options) == 0
    assert [one["category_id"] for one in annotations(both)["annotations"][0]["segments_info"]] == [1, 4]
    three = (teacher, blind, f"{teacher}?kind=right&score=0.7")
    arguments = [value for name in three for value in ("--teacher", name)]
    assert label(bag, *arguments, output=outvoted, options=options) == 0
    car = annotations(outvoted)["annotations"][0]["segments_info"][-1]
    assert car["category_id"] == 12
    assert car["score"] == pytest.approx(0.8)
    agreement = cv2.imread(str(outvoted / "agreement" / "train" / "drive_000000.png"), cv2.IMREAD_UNCHANGED)
    assert agreement.shape == SIZE
    assert set(np.unique(agreement)) == {170, 255}
    assert "Agreement" in (outvoted / "review.html").read_text()


def test_a_teacher_without_stuff(tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]) -> None:
    bag, things = write_drive(tmp_path / "drive"), f"{teacher}?kind=things"
    assert label(bag, "--teacher", things, output=tmp_path / "labels") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "label: colors (things): a panoptic data set needs at least one stuff and one thing category"
    )
    options = ("--map", str(ROADS))
    assert label(bag, "--teacher", things, output=tmp_path / "mapped", options=options) == 0
    assert annotations(tmp_path / "mapped")["annotations"][0]["segments_info"][0]["category_id"] == 12
    semantic = ("--teacher", f"{teacher}?kind=semantic", "--teacher", things)
    assert label(bag, *semantic, output=tmp_path / "joined", options=options) == 0
    segments = annotations(tmp_path / "joined")["annotations"][0]["segments_info"]
    assert [(one["category_id"], one["iscrowd"]) for one in segments] == [(1, 0), (4, 0), (12, 0)]
    assert is_valid(tmp_path / "joined")


def test_a_teacher_that_does_not_tell_objects_apart_makes_crowds(tmp_path: Path, teacher: str) -> None:
    bag, output = write_drive(tmp_path / "drive"), tmp_path / "labels"
    assert label(bag, "--teacher", f"{teacher}?kind=semantic", "--map", ROADS, output=output) == 0
    segments = annotations(output)["annotations"][0]["segments_info"]
    assert [(one["category_id"], one["iscrowd"]) for one in segments] == [(1, 0), (4, 0), (12, 1)]
    assert is_valid(output)


@pytest.mark.parametrize("family", ["mask2former", "eomt"])
def test_a_model_of_the_hub_is_a_teacher(family: str, tmp_path: Path) -> None:
    """The same command with a small network of transformers with random weights."""
    model = write_model(family, tmp_path / "model")
    output = tmp_path / "labels"
    options = ("--map", str(ROADS), "--min-score", "0", "--mirror", "--batch", "2", "--interval", "0.3")
    assert label(write_drive(tmp_path / "drive"), "--teacher", model, output=output, options=options) == 0
    assert is_valid(output)
    assert len(annotations(output)["images"]) == 3
    assert annotations(output)["info"]["teachers"][0]["digest"]


def test_scales_vote(tmp_path: Path) -> None:
    options = ("--scales", "1", "0.5", "--interval", "10")
    output = tmp_path / "labels"
    assert label(write_drive(tmp_path / "drive"), "--teacher", "scenes_light", output=output, options=options) == 0
    names = [one["name"] for one in annotations(output)["info"]["teachers"]]
    assert names == ["scenes_light", "scenes_light at 0.5 of its size"]


FAULTS = {
    "no source": (["/nowhere"], "source '/nowhere' does not exist"),
    "no teacher file": (["DRIVE", "--teacher", "none.py"], "the teacher none.py does not exist"),
    "no model": (["DRIVE", "--teacher", "none"], "none"),
    "options": (
        ["DRIVE", "--teacher", "TEACHER?colour=red"],
        "cannot be created by make_teacher(device, ...): TypeError",
    ),
    "scales": (["DRIVE", "--teacher", "TEACHER", "--scales", "2"], "sees images at one scale"),
    "map": (["DRIVE", "--teacher", "TEACHER", "--map", "none.yaml"], "none.yaml cannot be read"),
    "no category": (["DRIVE", "--teacher", "TEACHER", "--map", "INDOOR"], "the map names none of the model's 3"),
    "interval": (["DRIVE", "--teacher", "TEACHER", "--interval", "-1"], "the interval must be at least 0"),
    "share": (["DRIVE", "--teacher", "TEACHER", "--hold-out", "1"], "hold_out in 0..1"),
    "agreement": (["DRIVE", "--teacher", "TEACHER", "--min-agreement", "2"], "min_agreement must be in 0..1"),
    "topic": (["DRIVE", "--teacher", "TEACHER", "--topics", "/rear"], "has no images on /rear"),
    "other categories": (
        ["DRIVE", "--teacher", "TEACHER", "--teacher", "scenes_light"],
        "the teachers have different categories: give a --map",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_mistakes_are_one_line(fault: str, tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = FAULTS[fault]
    places = {
        "DRIVE": str(write_drive(tmp_path / "drive")),
        "TEACHER": teacher,
        "INDOOR": str(ROADS.with_name("indoor.yaml")),
    }
    given = [next((one.replace(key, path) for key, path in places.items() if key in one), one) for one in arguments]
    if "--teacher" not in given:
        given += ["--teacher", teacher]
    assert label(*given, output=tmp_path / "labels") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "note" not in line]
    assert len(lines) == 1, lines
    assert expected in lines[0]


def test_a_teacher_with_wrong_results_is_reported(
    tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small = f"{teacher}?kind=small"
    assert label(write_drive(tmp_path / "drive"), "--teacher", small, output=tmp_path / "labels") == 1
    assert "labelled an image of 128 x 96 pixels with a map of 128 x 48" in capsys.readouterr().err
