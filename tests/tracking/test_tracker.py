# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The tracker: ids that stay, gaps, occlusions, and what resets the tracks."""

from __future__ import annotations

from itertools import count

import cv2
import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.tracking import mask_samples
from ciae_ros.tracking.tracker import MAX_UNSEEN, Tracker
from ciae_ros.tracking.warm_up import warm_up
from tests.tracking.frames import CAR, HEIGHT, TRUCK, WIDTH, Block, frame, track_ids

PERIOD = 0.1


def run(tracker: Tracker, frames: list[PanopticResult], start: float = 0.0) -> list[list[int]]:
    return [track_ids(tracker.update(one, start + PERIOD * number)) for number, one in enumerate(frames)]


def test_a_moving_thing_keeps_its_id_and_stuff_has_none() -> None:
    tracker = Tracker()
    for number in range(10):
        result = tracker.update(frame(Block(10 + 12 * number, 50, 30, 20)), PERIOD * number)
        assert [segment.track_id for segment in result.segments] == [0, 1]


def test_all_else_of_the_result_stays() -> None:
    given = frame(Block(10, 50, 30, 20), Block(100, 50, 30, 20, TRUCK))
    found = Tracker().update(given, 0.0)
    assert found.label_map is given.label_map
    assert [(one.id, one.category, one.box) for one in found.segments] == [
        (one.id, one.category, one.box) for one in given.segments
    ]


def test_a_new_thing_gets_a_new_id_at_once() -> None:
    found = run(Tracker(), [frame(Block(10, 50, 30, 20)), frame(Block(10, 50, 30, 20), Block(200, 50, 30, 20))])
    assert found == [[1], [1, 2]]


def test_two_things_that_pass_each_other_keep_their_ids() -> None:
    frames = [frame(Block(20 + 8 * n, 60, 24, 40), Block(240 - 8 * n, 60, 24, 40)) for n in range(28)]
    found = run(Tracker(), frames)
    assert found[0] == found[-1] == [1, 2]
    assert {identity for ids in found for identity in ids} == {1, 2}


@pytest.mark.parametrize("category", [CAR, TRUCK])
def test_a_thing_behind_an_obstacle_comes_out_with_its_id(category: object) -> None:
    obstacle = Block(140, 40, 50, 80)
    frames = [frame(Block(20 + 8 * n, 60, 24, 40, category), obstacle) for n in range(28)]
    found = run(Tracker(), frames)
    assert [len(ids) for ids in found].count(1) >= 3, "it is hidden for some frames"
    assert found[0] == found[-1]
    assert len({identity for ids in found for identity in ids}) == 2


def test_an_id_is_kept_for_the_gap_that_is_allowed() -> None:
    tracker, here, nothing = Tracker(), frame(Block(100, 60, 30, 30)), frame()
    tracker.update(here, 0.0)
    tracker.update(nothing, 0.5)
    assert track_ids(tracker.update(here, 0.9, max_gap=1.0)) == [1]
    tracker.update(nothing, 1.0)
    assert track_ids(tracker.update(here, 2.5, max_gap=1.0)) == [2]


def test_a_gap_of_zero_keeps_ids_from_frame_to_frame_only() -> None:
    tracker, here = Tracker(), frame(Block(100, 60, 30, 30))
    assert track_ids(tracker.update(here, 0.0, max_gap=0.0)) == [1]
    assert track_ids(tracker.update(here, 0.0, max_gap=0.0)) == [1]
    assert track_ids(tracker.update(here, 0.1, max_gap=0.0)) == [2]


def test_a_change_of_category_does_not_change_the_id() -> None:
    categories = [CAR, CAR, TRUCK, CAR, TRUCK]
    found = run(Tracker(), [frame(Block(100 + 3 * n, 60, 40, 30, one)) for n, one in enumerate(categories)])
    assert found == [[1]] * len(categories)


def test_queries_decide_what_positions_leave_open() -> None:
    first, second = np.eye(8, dtype=np.float32)[:2]
    for order in ((first, second), (second, first)):
        tracker = Tracker()
        for number in range(5):
            seen = frame(Block(96, 60, 20, 20, query=first), Block(124, 60, 20, 20, query=second))
            assert track_ids(tracker.update(seen, PERIOD * number)) == [1, 2]
        # Both places are equally far from both former ones.
        above, below = (Block(110, y, 20, 20, query=query) for y, query in zip((49, 71), order, strict=True))
        found = track_ids(tracker.update(frame(above, below), 8 * PERIOD))
        assert found == ([1, 2] if order[0] is first else [2, 1])


def test_queries_may_be_missing_in_some_frames() -> None:
    query = np.eye(8, dtype=np.float32)[0]
    with_query, without = Block(100, 60, 20, 20, query=query), Block(100, 60, 20, 20)
    frames = [frame(one) for one in (without, with_query, without, with_query)]
    nothing = frame()
    found = run(Tracker(), [nothing, *frames, nothing, *frames[::-1]])
    assert found == [[], [1], [1], [1], [1], [], [1], [1], [1], [1]]


def test_ids_are_not_used_again_after_a_reset() -> None:
    tracker, here = Tracker(), frame(Block(100, 60, 30, 30))
    tracker.update(here, 0.0)
    tracker.reset()
    assert track_ids(tracker.update(here, 0.1)) == [2]


def test_several_trackers_share_a_source_of_ids() -> None:
    ids = count(5)
    trackers = [Tracker(ids) for _ in range(2)]
    assert [track_ids(one.update(frame(Block(9, 9, 20, 20)), 0.0)) for one in trackers] == [[5], [6]]


def test_time_that_runs_backwards_resets_the_tracks() -> None:
    tracker, here = Tracker(), frame(Block(100, 60, 30, 30))
    tracker.update(here, 100.0)
    assert track_ids(tracker.update(here, 99.0)) == [2]


def test_stamps_that_are_not_quite_in_order_do_no_harm() -> None:
    tracker = Tracker()
    for number in range(12):
        stamp = PERIOD * number + 0.15 * (-1) ** number
        assert track_ids(tracker.update(frame(Block(20 + 4 * number, 60, 24, 40)), stamp)) == [1]


def test_another_size_resets_the_tracks() -> None:
    tracker = Tracker()
    tracker.update(frame(Block(100, 60, 30, 30)), 0.0)
    assert track_ids(tracker.update(frame(Block(100, 60, 30, 30), height=200), 0.1)) == [2]


def test_stamps_that_stand_still_do_not_let_the_tracks_grow() -> None:
    tracker = Tracker()
    for number in range(30):
        kind = Category(10 + number, "kind", True, (0, 0, 0))
        x, y = 7 * (number % 8), 7 * (number // 8)
        blocks = [Block(60 * column + x, 60 * row + y, 5, 5, kind) for row in range(4) for column in range(5)]
        tracker.update(frame(*blocks), 7.0)
    assert MAX_UNSEEN < len(tracker) <= MAX_UNSEEN + 40


def test_frames_without_things_are_no_problem() -> None:
    found = run(Tracker(), [frame(), frame(Block(10, 10, 9, 9)), frame(), frame(Block(10, 10, 9, 9)), frame()])
    assert found == [[], [1], [], [1], []]


def test_the_motion_of_the_camera_is_compensated() -> None:
    noise = np.random.default_rng(0).random((HEIGHT, 500)).astype(np.float32)
    street = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)

    def ids(with_image: bool) -> set[int]:
        tracker, found = Tracker(), set()
        for number, pan in enumerate((0, 0, 0, 40, 40, 0, 0, 40)):
            blocks = [Block(150 + column - pan, 100, 12, 12) for column in (0, 34, 68)]
            view = street[:, 100 + pan : 100 + pan + WIDTH] if with_image else None
            found.update(track_ids(tracker.update(frame(*blocks), PERIOD * number, view)))
        return found

    assert ids(with_image=True) == {1, 2, 3}
    assert ids(with_image=False) != {1, 2, 3}


def test_nothing_is_compiled_after_the_warm_up() -> None:
    warm_up()
    kernels = mask_samples._sample, mask_samples._add_areas
    compiled = [len(kernel.signatures) for kernel in kernels]
    assert min(compiled) > 0
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    tracker = Tracker()
    for number in range(3):
        tracker.update(frame(Block(20 + 4 * number, 60, 24, 40)), PERIOD * number, image)
    assert [len(kernel.signatures) for kernel in kernels] == compiled
