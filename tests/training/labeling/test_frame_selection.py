# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of frames, and the sources that they are in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.labeling.recordings import picture, write_drive, write_folder, write_video
from training.labeling.frame_selection import Selection, change, select_frames
from training.labeling.sources import SourceFrame, find_sequences


def frames(seconds: list[float], moving: bool = True) -> list[SourceFrame]:
    return [SourceFrame(number, time, None, picture(number if moving else 0)) for number, time in enumerate(seconds)]


def numbers(found: list[SourceFrame], selection: Selection, *, is_timed: bool = True) -> list[int]:
    return [frame.number for frame in select_frames(found, selection, is_timed=is_timed)]


def test_frames_are_selected_by_time() -> None:
    found = frames([0.1 * number for number in range(8)])
    assert numbers(found, Selection(0.3, 0.0)) == [0, 3, 6]
    assert numbers(found, Selection(0.0, 0.0)) == list(range(8))
    assert numbers(found, Selection(0.3, 0.0), is_timed=False) == list(range(8))


def test_the_interval_begins_again_after_the_clock_was_set_back() -> None:
    assert numbers(frames([100.0, 100.1, 0.0, 0.1, 0.6]), Selection(0.5, 0.0)) == [0, 2, 4]


def test_near_duplicates_are_left_out() -> None:
    standing = frames([0.0, 1.0, 2.0], moving=False)
    assert numbers(standing, Selection(0.5, 0.02)) == [0]
    assert numbers(standing, Selection(0.5, 0.0)) == [0, 1, 2]
    assert numbers(frames([0.0, 1.0, 2.0]), Selection(0.5, 0.02)) == [0, 1, 2]


def test_brightness_is_no_change() -> None:
    image = np.random.default_rng(0).integers(0, 100, (36, 64, 3), np.uint8)
    assert change(image, image + 50) < 1e-3
    assert change(image, image * 2) < 1e-3
    assert change(image, image[::-1].copy()) > 0.5
    flat = np.zeros_like(image)
    assert change(flat, flat + 200) == 0.0
    assert change(flat, image) > 0.5


@pytest.mark.parametrize("values", [(-1.0, 0.0), (0.5, 1.0), (0.5, -0.1), (float("nan"), 0.0)])
def test_invalid_selections_are_refused(values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Selection(*values)


def test_bags_videos_and_folders_are_found(tmp_path: Path) -> None:
    paths = [
        write_drive(tmp_path / "drive"),
        write_video(tmp_path / "clip.mp4"),
        write_folder(tmp_path / "images"),
        tmp_path / "missing",
    ]
    (tmp_path / "other").mkdir()
    paths.append(write_drive(tmp_path / "other" / "drive"))
    found = find_sequences(paths)
    assert [one.name for one in found.sequences] == ["drive", "clip", "images", "drive_2"]
    assert [one.topic for one in found.sequences] == ["/camera/image_raw", None, None, "/camera/image_raw"]
    assert [one.is_timed for one in found.sequences] == [True, True, False, True]
    assert len(found.problems) == 1
    assert "missing" in found.problems[0]
    for sequence, count in zip(found.sequences, (8, 8, 4, 8), strict=True):
        read = list(sequence.frames(pytest.fail, pytest.fail))
        assert [frame.number for frame in read] == list(range(count))
        assert read[1].seconds == pytest.approx(0.1, abs=0.01)
        assert (read[1].stamp is not None) == (sequence.topic is not None)


def test_a_single_file_of_a_bag_and_its_topics(tmp_path: Path) -> None:
    (file,) = write_drive(tmp_path / "drive").glob("*.mcap")
    assert [one.path for one in find_sequences([file]).sequences] == [file]
    found = find_sequences([file], ["/rear/image_raw"])
    assert not found.sequences
    assert "has no images on /rear/image_raw" in found.problems[0]


def test_an_unreadable_bag_is_a_problem_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"not a bag")
    found = find_sequences([broken, write_folder(tmp_path / "images")])
    assert [one.name for one in found.sequences] == ["images"]
    assert len(found.problems) == 1
    assert "\n" not in found.problems[0]
    assert "broken.mcap" in found.problems[0]
