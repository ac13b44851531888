# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Each frame is matched with its ground truth; inconsistent ground truth is reported and not used."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import header, raw_image
from ciae_ros.replay.bags.definitions import IMAGE, SEGMENTS, typestore
from ciae_ros.replay.bags.ground_truth import open_ground_truth, topic_ground_truth
from ciae_ros.replay.bags.types import BagFrame, FrameKey, GroundTruthError, TrueSegment

CATEGORIES = CategorySet.from_coco(
    [
        {"id": 1, "name": "road", "isthing": 0},
        {"id": 3, "name": "car", "isthing": 1},
        {"id": 4, "name": "person", "isthing": 1},
    ]
)
SIZE = (12, 16)
"""Height and width."""
CAR = 70000
"""A segment id that needs more than one byte."""


def frame(index: int = 0, stamp: int = 0, frame_id: str = "camera", size: tuple[int, int] = SIZE) -> BagFrame:
    return BagFrame(
        FrameKey("drive", "/image", index), stamp, stamp, frame_id, CameraImage(np.zeros((*size, 3), np.uint8), "bgr")
    )


def ids_of(number: int) -> np.ndarray:
    """A car at another place in each frame, on a road with a void stripe."""
    ids = np.ones(SIZE, np.int32)
    ids[2:6, number : number + 3] = CAR
    ids[-1] = 0
    return ids


def write_truth(folder: Path, names: list[str], **additions: list[Any]) -> Path:
    """A JSON file and its PNGs; `additions` are fields of the images."""
    path = folder / "panoptic_drive.json"
    path.with_suffix("").mkdir(parents=True)
    images, annotations = [], []
    for number, name in enumerate(names):
        ids = ids_of(number)
        png = f"{number}.png"
        cv2.imwrite(
            str(path.with_suffix("") / png), np.stack((ids >> 16, ids >> 8 & 255, ids & 255), -1).astype(np.uint8)
        )
        images.append({"id": number, "file_name": name} | {key: values[number] for key, values in additions.items()})
        segments = [{"id": 1, "category_id": 1, "iscrowd": 0}, {"id": CAR, "category_id": 3, "iscrowd": 1}]
        annotations.append({"image_id": number, "file_name": png, "segments_info": segments})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES.to_coco()}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("names", "additions", "wanted"),
    [
        (["a.jpg", "b.jpg"], {"stamp": [5 * 10**9, 6 * 10**9 + 7]}, frame(0, 6 * 10**9 + 7)),
        (["a.jpg", "b.jpg"], {"stamp": ["5.0", "6.000000007"]}, frame(0, 6 * 10**9 + 7)),
        (["1700000000000000000.jpg", "1700000000000000001.jpg"], {}, frame(0, 1700000000000000001)),
        (["1700000000.000000000.jpg", "1700000000.000000001.jpg"], {}, frame(0, 1700000000000000001)),
        (["000000.jpg", "000001.jpg"], {}, frame(1, 99)),
        (["left_a.jpg", "left_b.jpg"], {}, frame(0, 99, "left_b")),
    ],
    ids=["nanoseconds", "seconds", "name in nanoseconds", "name in seconds", "number", "frame_id"],
)
def test_frames_find_their_truth(names: list[str], additions: dict[str, Any], wanted: BagFrame, tmp_path: Path) -> None:
    path = write_truth(tmp_path, names, **additions)
    for spec in (path, tmp_path, str(path)):
        truth = open_ground_truth(spec, CATEGORIES)
        found = truth.find(wanted)
        assert found is not None
        assert np.array_equal(found.ids, ids_of(1))
        assert found.segments == (TrueSegment(1, 1), TrueSegment(CAR, 3, is_crowd=True))
        assert truth.find(frame(7, 8)) is None


def with_track_id(path: Path, track_id: object) -> Path:
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["segments_info"][1]["track_id"] = track_id
    path.write_text(json.dumps(content))
    return path


def test_segments_may_have_a_track(tmp_path: Path) -> None:
    found = open_ground_truth(with_track_id(write_truth(tmp_path, ["0.jpg"]), 17), CATEGORIES).find(frame())
    assert found is not None
    assert [one.track_id for one in found.segments] == [0, 17]


@pytest.mark.parametrize("track_id", ["17", -1, 2.5])
def test_a_track_that_is_no_number_is_refused(track_id: object, tmp_path: Path) -> None:
    truth = open_ground_truth(with_track_id(write_truth(tmp_path, ["0.jpg"]), track_id), CATEGORIES)
    with pytest.raises(GroundTruthError, match=r"the track_id of segment \d+ is .*, not a whole number from 1"):
        truth.find(frame())


def test_cameras_with_equal_stamps_find_their_own_truth(tmp_path: Path) -> None:
    truth = open_ground_truth(write_truth(tmp_path, ["7.jpg", "7.jpg"], topic=["/image", "/rear"]), CATEGORIES)
    for number, topic in enumerate(("/image", "/rear")):
        found = truth.find(replace(frame(), key=FrameKey("drive", topic, 7)))
        assert found is not None
        assert np.array_equal(found.ids, ids_of(number))
    assert truth.find(replace(frame(), key=FrameKey("drive", "/left", 7))) is None


def test_bags_with_equal_stamps_find_their_own_truth(tmp_path: Path) -> None:
    truth = open_ground_truth(write_truth(tmp_path, ["7.jpg", "7.jpg"], bag=["drive", "other"]), CATEGORIES)
    for number, bag in enumerate(("drive", "other")):
        found = truth.find(replace(frame(), key=FrameKey(bag, "/image", 7)))
        assert found is not None
        assert np.array_equal(found.ids, ids_of(number))
    assert truth.find(replace(frame(), key=FrameKey("third", "/image", 7))) is None


@pytest.mark.parametrize(
    ("names", "additions", "kind"),
    [
        (["a.jpg", "b.jpg"], {"stamp": [5, 5]}, "stamp 5"),
        (["front/7.jpg", "rear/007.jpg"], {}, "number 7"),
        (["front/a.jpg", "rear/a.jpg"], {}, "name a"),
    ],
)
def test_two_images_of_one_frame_are_refused(
    names: list[str], additions: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    path = write_truth(tmp_path, names, **additions)
    with pytest.raises(GroundTruthError, match=f"images 0 and 1 are both of the frame with {kind}"):
        open_ground_truth(path, CATEGORIES)
    write_truth(tmp_path / "other", names, **additions, topic=["/front", "/rear"])
    open_ground_truth(tmp_path / "other", CATEGORIES)


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["categories"][0].update(name="street"), "id 1 is street"),
        (lambda content: content["categories"].pop(), "id 4 is nothing"),
        (lambda content: content["categories"].append({"id": 9, "name": "hat", "isthing": 1}), "id 9 is hat"),
        (lambda content: content.pop("images"), "not in COCO's panoptic format"),
    ],
)
def test_other_categories_and_formats_are_refused(
    edit: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    path = write_truth(tmp_path, ["0.jpg"])
    edited(path, edit)
    with pytest.raises(GroundTruthError, match=message):
        open_ground_truth(path, CATEGORIES)


def test_a_folder_must_have_one_ground_truth(tmp_path: Path) -> None:
    with pytest.raises(GroundTruthError, match="0 JSON files"):
        open_ground_truth(tmp_path, CATEGORIES)
    with pytest.raises(GroundTruthError, match="nowhere"):
        open_ground_truth(tmp_path / "nowhere", CATEGORIES)


def remove_png(path: Path) -> None:
    (path.with_suffix("") / "0.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "wanted", "message"),
    [
        (lambda path: None, frame(size=(12, 17)), "16 x 12 pixels, the image 17 x 12"),
        (remove_png, frame(), "0.png is missing"),
        (
            lambda path: edited(path, lambda content: content["annotations"][0]["segments_info"].pop()),
            frame(),
            f"pixels of segment {CAR}",
        ),
        (
            lambda path: edited(
                path, lambda content: content["annotations"][0]["segments_info"][0].update(category_id=8)
            ),
            frame(),
            "category 8",
        ),
    ],
)
def test_truth_that_does_not_fit_its_frame(
    spoil: Callable[[Path], object], wanted: BagFrame, message: str, tmp_path: Path
) -> None:
    path = write_truth(tmp_path, ["0.jpg"])
    spoil(path)
    with pytest.raises(GroundTruthError, match=message):
        open_ground_truth(path, CATEGORIES).find(wanted)


LABELS_TOPIC, SEGMENTS_TOPIC = "/truth/labels", "/truth/segments"
STAMPS = [10**9 + number for number in range(5)]


def write_topics(path: Path, category: int = 3, name: str = "car", order: Sequence[int] = (0, 3, 1, 2, 4)) -> Path:
    """Labels in another order than the frames, without segments of the third."""
    store = typestore()
    types = store.types
    with Writer(path, version=8) as writer:
        labels = writer.add_connection(LABELS_TOPIC, IMAGE, typestore=store)
        segments = writer.add_connection(SEGMENTS_TOPIC, SEGMENTS, typestore=store)
        for place, number in enumerate(order):
            of_frame = header(STAMPS[number])
            ids = np.where(ids_of(number) == CAR, 2, ids_of(number)).astype(np.uint16)
            message = raw_image(of_frame, ids, "16UC1")
            writer.write(labels, 1000 + place, store.serialize_cdr(message, IMAGE))
            box = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 1, 1, do_rectify=False)
            point = types["geometry_msgs/msg/Point32"](0.0, 0.0, 0.0)
            table = [
                types["ciae_msgs/msg/PanopticSegment"](1, 1, "road", False, 1.0, 9, box, point, 0),
                types["ciae_msgs/msg/PanopticSegment"](2, category, name, True, 0.9, 9, box, point, 8),
            ]
            found = types[SEGMENTS](of_frame, *SIZE, "annotator", table)
            if number != 2:
                writer.write(segments, 2000 + place, store.serialize_cdr(found, SEGMENTS))
    return path


def test_topics_are_found_by_stamp(tmp_path: Path) -> None:
    with open_bag(write_topics(tmp_path / "drive")) as bag:
        truth = topic_ground_truth(bag, LABELS_TOPIC, SEGMENTS_TOPIC, CATEGORIES)
        for number in (0, 1, 3, 4, 1):
            found = truth.find(frame(number, STAMPS[number]))
            assert found is not None
            assert np.array_equal(found.ids == 2, ids_of(number) == CAR)
            assert np.array_equal(found.ids == 0, ids_of(number) == 0)
            assert found.segments == (TrueSegment(1, 1), TrueSegment(2, 3, track_id=8))
        assert truth.find(frame(2, STAMPS[2])) is None
        assert truth.find(frame(0, 5)) is None


def test_labels_with_equal_stamps_belong_to_no_frame(tmp_path: Path) -> None:
    with open_bag(write_topics(tmp_path / "drive", order=(0, 1, 1, 3))) as bag:
        assert bag.repeated_stamps(LABELS_TOPIC) == {STAMPS[1]}
        truth = topic_ground_truth(bag, LABELS_TOPIC, SEGMENTS_TOPIC, CATEGORIES)
        assert [truth.find(frame(number, STAMPS[number])) is None for number in (0, 1, 3)] == [False, True, False]
        assert truth.find(replace(frame(0, STAMPS[0]), is_stamp_unique=False)) is None


@pytest.mark.parametrize(("category", "name"), [(8, "car"), (3, "truck")])
def test_topics_with_other_categories_are_refused(category: int, name: str, tmp_path: Path) -> None:
    with open_bag(write_topics(tmp_path / "drive", category, name)) as bag:
        truth = topic_ground_truth(bag, LABELS_TOPIC, SEGMENTS_TOPIC, CATEGORIES)
        with pytest.raises(GroundTruthError, match=rf"a category {category} \({name}\)"):
            truth.find(frame(0, STAMPS[0]))


@pytest.mark.parametrize(
    ("labels", "segments", "message"),
    [
        ("/no", SEGMENTS_TOPIC, "no ground truth topic /no"),
        (SEGMENTS_TOPIC, SEGMENTS_TOPIC, "not sensor_msgs/msg/Image"),
    ],
)
def test_topics_that_are_none_are_refused(labels: str, segments: str, message: str, tmp_path: Path) -> None:
    with open_bag(write_topics(tmp_path / "drive")) as bag, pytest.raises(GroundTruthError, match=message):
        topic_ground_truth(bag, labels, segments, CATEGORIES)
