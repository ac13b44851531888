# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The recorded bag contains the original messages and the network's results, with the images' headers and times."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import Category, CategorySet, PanopticResult, Segment
from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.bags.ground_truth import decode_label_image, topic_ground_truth
from ciae_ros.replay.bags.image_topics import choose_topics
from ciae_ros.replay.bags.result_recording import record_results
from ciae_ros.replay.bags.types import BagError

ROAD, CAR = Category(1, "road", is_thing=False, color=(9, 9, 9)), Category(3, "car", is_thing=True, color=(200, 0, 0))
CATEGORIES = CategorySet((ROAD, CAR))
FRONT, REAR = "/front/image_raw", "/rear/image_raw"
SECOND = 10**9
TEXTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), (48, 32))


def brighter_half(image: CameraImage) -> PanopticResult:
    """A stand-in for the network that depends on the image."""
    labels = 1 + (image.pixels.mean(axis=2) > image.pixels.mean()).astype(np.uint16)
    areas = np.bincount(labels.ravel(), minlength=3)
    return PanopticResult(
        labels,
        (
            Segment(1, ROAD, 1.0, int(areas[1]), (0, 0, 48, 32), (20.5, 10.5)),
            Segment(2, CAR, 0.75, int(areas[2]), (1, 2, 30, 20), (16.0, 12.0)),
        ),
    )


def write(path: Path, topics: tuple[str, ...] = (FRONT,), **options: object) -> Path:
    frames = [(topic, SECOND + i * SECOND // 10, np.roll(TEXTURE, i, axis=1)) for i in range(5) for topic in topics]
    write_bag(path, frames, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("options", [{}, {"storage": "sqlite3"}, {"compressed": True}])
def test_everything_is_in_the_recorded_bag(options: dict[str, object], tmp_path: Path) -> None:
    path, output = write(tmp_path / "drive", **options), tmp_path / "out.mcap"
    assert record_results(path, output, brighter_half, "bright") == ([], [])
    with open_bag(path) as before, open_bag(output) as after:
        assert after.problems == []
        assert sorted(set(after.topics) - set(before.topics)) == [
            "/panoptic_node/labels",
            "/panoptic_node/overlay",
            "/panoptic_node/segments",
        ]
        assert list(after.raw_messages([FRONT])) == list(before.raw_messages([FRONT]))
        times = [time for _, time, _ in after.raw_messages(["/panoptic_node/labels"])]
        assert times == [time for _, time, _ in before.raw_messages([FRONT])]
        labels, segments = after.messages("/panoptic_node/labels"), after.messages("/panoptic_node/segments")
        overlays = after.frames("/panoptic_node/overlay")
        for frame, label, table, overlay in zip(before.frames(FRONT), labels, segments, overlays, strict=True):
            assert frame.image is not None
            expected = brighter_half(frame.image)
            assert label.header == table.header
            assert label.header.stamp.sec * SECOND + label.header.stamp.nanosec == frame.stamp
            assert np.array_equal(decode_label_image(label), expected.label_map)
            assert (table.model, table.height, table.width) == ("bright", 32, 48)
            road, car = table.segments
            assert (road.id, road.category_id, road.category_name, road.is_thing) == (1, 1, "road", False)
            assert (car.score, car.area, car.is_thing) == (0.75, expected.segments[1].area, True)
            assert (car.box.x_offset, car.box.y_offset, car.box.width, car.box.height) == (1, 2, 30, 20)
            assert (car.centroid.x, car.centroid.y) == (16, 12)
            assert (road.track_id, car.track_id) == (0, 1)
            assert overlay.stamp == frame.stamp
            assert overlay.image is not None
            assert overlay.image.pixels.shape == (32, 48, 3)


def test_recorded_results_are_ground_truth_and_not_a_camera(tmp_path: Path) -> None:
    record_results(write(tmp_path / "drive"), tmp_path / "out.mcap", brighter_half, "bright")
    with open_bag(tmp_path / "out.mcap") as bag:
        assert choose_topics(bag).topics == [FRONT]
        truth = topic_ground_truth(bag, "/panoptic_node/labels", "/panoptic_node/segments", CATEGORIES)
        for frame in bag.frames(FRONT):
            found = truth.find(frame)
            assert found is not None
            assert frame.image is not None
            assert np.array_equal(found.ids, brighter_half(frame.image).label_map)


def test_several_cameras_have_names_as_the_node_gives_them(tmp_path: Path) -> None:
    path = write(tmp_path / "drive", (FRONT, REAR))
    record_results(path, tmp_path / "out.mcap", brighter_half, "bright")
    with open_bag(tmp_path / "out.mcap") as bag:
        assert {"/panoptic_node/front/labels", "/panoptic_node/rear/segments"} < set(bag.topics)
    record_results(path, tmp_path / "rear.mcap", brighter_half, "bright", [REAR])
    with open_bag(tmp_path / "rear.mcap") as bag:
        assert bag.topics["/panoptic_node/labels"].count == 5
        assert bag.topics[FRONT].count == 5


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "drive")

    def fails(image: CameraImage) -> PanopticResult:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        record_results(path, tmp_path / "out.mcap", fails, "bright")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["drive"]


@pytest.mark.parametrize(
    ("output", "topics", "message"),
    [
        ("out.bag", None, "ends with .mcap"),
        ("there.mcap", None, "exists already"),
        ("out.mcap", ["/no"], "no images on /no; its image topics: /front/image_raw"),
    ],
)
def test_invalid_recordings_are_refused(output: str, topics: list[str] | None, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "drive")
    (tmp_path / "there.mcap").touch()
    with pytest.raises(BagError, match=message):
        record_results(path, tmp_path / output, brighter_half, "bright", topics)


def test_topics_whose_results_would_be_mixed_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "drive", ("/front/image_raw", "/front/image_rect"))
    with pytest.raises(BagError, match=r"/front/image_raw and /front/image_rect would both .* --topics"):
        record_results(path, tmp_path / "out.mcap", brighter_half, "bright")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["drive"]


def test_results_are_not_recorded_twice(tmp_path: Path) -> None:
    record_results(write(tmp_path / "drive"), tmp_path / "out.mcap", brighter_half, "bright")
    with pytest.raises(BagError, match="already has /panoptic_node/labels"):
        record_results(tmp_path / "out.mcap", tmp_path / "again.mcap", brighter_half, "bright")


def test_command_reports_missing_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "drive")
    (path / "metadata.yaml").unlink()
    options = ("--model", "untrained/light_512", "--device", "cpu", "--input-size", "64")
    assert main(["record-results", str(path), str(tmp_path / "out.mcap"), *options]) == 1
    said = capsys.readouterr()
    assert f"written: {tmp_path / 'out.mcap'}" in said.out
    assert "metadata.yaml" in said.err
    with open_bag(tmp_path / "out.mcap") as bag:
        assert bag.topics["/panoptic_node/segments"].count == 5
