# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of a folder or video to a bag, and matching of its ground truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import image_folder_of
from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.ground_truth import open_ground_truth
from tests.training.synthetic import CATEGORIES, scene, write_split

SECOND = 10**9
VIDEO = Path(__file__).parents[4] / "shared" / "data" / "video" / "udacity_solidWhiteRight.mp4"


def command(*arguments: object) -> int:
    return main(["make-bag", *map(str, arguments)])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("options", [(), ("--jpeg",)])
def test_a_folder_with_ground_truth(storage: str, options: tuple[str, ...], tmp_path: Path) -> None:
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (3, 4, 7)})
    folder, bag_path = image_folder_of(annotations.path), tmp_path / "drive"
    choices = ("--rate", 4, "--storage", storage, "--truth", annotations.path, *options)
    assert command(folder, bag_path, *choices) == 0
    truth = open_ground_truth(bag_path, CATEGORIES)
    with open_bag(bag_path) as bag:
        (topic,) = bag.image_topics()
        frames = list(bag.frames(topic))
    assert topic == f"/camera/image_raw{'/compressed' if options else ''}"
    assert [frame.stamp for frame in frames] == [SECOND, SECOND + SECOND // 4, SECOND + SECOND // 2]
    for frame, image_id in zip(frames, (3, 4, 7), strict=True):
        assert frame.image is not None
        image = cv2.imread(str(folder / annotations.images[image_id]["file_name"]))
        if options:
            image = cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR)
        # Two decoders of JPEG may differ by a little.
        assert cv2.absdiff(frame.image.to_bgr(), image).mean() <= (2 if options else 0)
        found = truth.find(frame)
        assert found is not None
        assert np.array_equal(found.ids, annotations.segment_ids(image_id))


@pytest.mark.skipif(not VIDEO.exists(), reason="the shared videos are not here")
def test_a_video_keeps_its_rate(tmp_path: Path) -> None:
    assert command(VIDEO, tmp_path / "drive", "--jpeg") == 0
    with open_bag(tmp_path / "drive") as bag:
        info = bag.topics["/camera/image_raw/compressed"]
        stamps = [frame.stamp for frame in bag.frames("/camera/image_raw/compressed", 0, 3)]
    assert info.count == 221
    assert np.diff(stamps) == pytest.approx(SECOND / 25)


def test_invalid_input_of_make_bag_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, other = tmp_path / "images", tmp_path / "other"
    for folder in (images, other):
        folder.mkdir()
    cv2.imwrite(str(images / "one.png"), np.zeros((8, 8, 3), np.uint8))
    truth = write_split(tmp_path / "data", {1: scene(1)}).path
    (tmp_path / "there").mkdir()
    for arguments, message in (
        ((other, tmp_path / "drive"), "contains no image"),
        ((tmp_path / "nowhere", tmp_path / "drive"), "does not exist"),
        ((images, tmp_path / "there"), "exists already"),
        ((images, tmp_path / "drive", "--truth", truth), "no ground truth for the images"),
        ((images, tmp_path / "drive", "--rate", -1), "must be positive"),
    ):
        assert command(*arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not (tmp_path / "drive").exists()


def test_unreadable_images_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (3, 4, 7)})
    folder = image_folder_of(annotations.path)
    broken = folder / annotations.images[4]["file_name"]
    broken.write_bytes(broken.read_bytes()[:-50])
    (folder / "._hidden.jpg").write_bytes(b"resource fork")
    assert command(folder, tmp_path / "drive", "--truth", annotations.path) == 0
    assert capsys.readouterr().err.count(str(broken)) == 1
    truth = open_ground_truth(tmp_path / "drive", CATEGORIES)
    with open_bag(tmp_path / "drive") as bag:
        frames = list(bag.frames("/camera/image_raw"))
    assert [frame.stamp for frame in frames] == [SECOND, SECOND + SECOND // 5]
    for frame, image_id in zip(frames, (3, 7), strict=True):
        found = truth.find(frame)
        assert found is not None
        assert np.array_equal(found.ids, annotations.segment_ids(image_id))


def test_a_failure_leaves_nothing_in_the_way_of_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (3, 4)})
    folder, bag = image_folder_of(annotations.path), tmp_path / "bags" / "drive"
    png = annotations.png_folder / annotations.annotations[4]["file_name"]
    whole = png.read_bytes()
    cv2.imwrite(str(png), scene(4)[0].astype(np.uint8))
    assert command(folder, bag, "--truth", annotations.path) == 1
    assert f"{png} is a PNG of 8 bits grey, not 8-bit RGB" in capsys.readouterr().err
    assert not bag.parent.exists()
    png.write_bytes(whole)

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ciae_ros.replay.bags.bag_writing.raw_image", fail)
        command(folder, bag)
    assert list(bag.parent.iterdir()) == []
    assert command(folder, bag, "--truth", annotations.path) == 0
    with open_bag(bag) as written:
        assert len(list(written.frames("/camera/image_raw"))) == 2


def with_file_names(path: Path, name_of: dict[int, str]) -> None:
    content = json.loads(path.read_text())
    for entry in content["images"]:
        entry["file_name"] = name_of[entry["id"]]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_file_names_with_folders(separator: str, tmp_path: Path) -> None:
    """One folder of a data set finds its ground truth, and not that of images of equal names in other folders."""
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (1, 2, 3)})
    folder = image_folder_of(annotations.path)
    for city, number, name in (("ulm", 1, "a.png"), ("bonn", 2, "a.png"), ("ulm", 3, "b.png")):
        (folder / city).mkdir(exist_ok=True)
        (folder / f"000{number}.png").rename(folder / city / name)
    names = {1: "ulm/a.png", 2: "bonn/a.png", 3: "ulm/b.png"}
    with_file_names(annotations.path, {number: name.replace("/", separator) for number, name in names.items()})
    assert command(folder / "ulm", tmp_path / "drive", "--truth", annotations.path) == 0
    truth = open_ground_truth(tmp_path / "drive", CATEGORIES)
    with open_bag(tmp_path / "drive") as bag:
        for frame, image_id in zip(bag.frames("/camera/image_raw"), (1, 3), strict=True):
            found = truth.find(frame)
            assert found is not None
            assert np.array_equal(found.ids, annotations.segment_ids(image_id))


def test_pngs_in_folders(tmp_path: Path) -> None:
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (1, 2)})
    content = json.loads(annotations.path.read_text())
    for number, entry in enumerate(content["annotations"]):
        name = f"city{number}/truth.png"
        (annotations.png_folder / f"city{number}").mkdir()
        (annotations.png_folder / entry["file_name"]).rename(annotations.png_folder / name)
        entry["file_name"] = name
    annotations.path.write_text(json.dumps(content))
    assert command(image_folder_of(annotations.path), tmp_path / "drive", "--truth", annotations.path) == 0
    truth = open_ground_truth(tmp_path / "drive", CATEGORIES)
    with open_bag(tmp_path / "drive") as bag:
        for frame, image_id in zip(bag.frames("/camera/image_raw"), (1, 2), strict=True):
            found = truth.find(frame)
            assert found is not None
            assert np.array_equal(found.ids, scene(image_id)[0])


def test_ground_truth_that_cannot_be_copied_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = write_split(tmp_path / "data", {number: scene(number) for number in (1, 2)})
    folder, drive = image_folder_of(annotations.path), tmp_path / "bags" / "drive"
    with_file_names(annotations.path, {1: "0001.png", 2: "tiny/0001.png"})
    assert command(folder, drive, "--truth", annotations.path) == 1
    assert f"images 1 and 2 of the ground truth are both {folder / '0001.png'}" in capsys.readouterr().err
    content = json.loads(annotations.path.read_text())
    content["annotations"][0]["file_name"] = "../panoptic_tiny/0001.png"
    annotations.path.write_text(json.dumps(content))
    with_file_names(annotations.path, {1: "0001.png", 2: "0002.png"})
    assert command(folder, drive, "--truth", annotations.path) == 1
    assert "../panoptic_tiny/0001.png is not in the folder" in capsys.readouterr().err
    assert not drive.parent.exists()
