# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Only the newest frame of a camera waits, cameras are served round-robin, and no frame is lost."""

from __future__ import annotations

import threading
import time

import pytest

from ciae_ros.node.frame_scheduler import FrameScheduler


def scheduler(*cameras: str) -> FrameScheduler[int]:
    return FrameScheduler(cameras)


def test_the_newest_frame_replaces_the_one_that_waits() -> None:
    front = scheduler("front")
    assert [front.put("front", frame) for frame in range(5)] == [None, 0, 1, 2, 3]
    assert front.take() == [("front", 4)]


def test_cameras_are_served_in_turn_however_fast_one_is() -> None:
    three = scheduler("front", "rear", "side")
    served = []
    for frame in range(6):
        three.put("front", frame)
        if frame % 2 == 0:
            three.put("rear", frame)
        served += [camera for camera, _ in three.take()]
    assert served == ["front", "rear", "front", "rear", "front", "rear"]


def test_waiting_frames_are_taken_together_round_robin() -> None:
    three = scheduler("front", "rear", "side")
    three.put("side", 1)
    assert three.take(at_most=3) == [("side", 1)]
    for camera in ("side", "rear", "front"):
        three.put(camera, 2)
    assert three.take(at_most=2) == [("front", 2), ("rear", 2)]
    assert three.take(at_most=2) == [("side", 2)]


def test_take_waits_for_a_frame_and_close_ends_the_wait() -> None:
    front = scheduler("front")
    taken: list[object] = []
    taker = threading.Thread(target=lambda: taken.extend([front.take(), front.take()]))
    taker.start()
    time.sleep(0.05)
    assert taken == []
    front.put("front", 7)
    time.sleep(0.05)
    front.close()
    taker.join(timeout=5)
    assert taken == [[("front", 7)], []]


def test_close_returns_waiting_and_later_frames() -> None:
    front = scheduler("front")
    front.put("front", 1)
    assert front.close() == [("front", 1)]
    assert front.put("front", 2) == 2
    assert front.take() == []


@pytest.mark.parametrize("at_most", [1, 3])
def test_every_frame_is_taken_or_given_back_once(at_most: int) -> None:
    cameras = ("front", "rear", "side")
    three = scheduler(*cameras)
    taken: list[tuple[str, int]] = []
    gone: list[tuple[str, int]] = []

    def take() -> None:
        while frames := three.take(at_most):
            taken.extend(frames)

    def put(camera: str) -> None:
        for frame in range(3000):
            if (old := three.put(camera, frame)) is not None:
                gone.append((camera, old))

    threads = [threading.Thread(target=take), *(threading.Thread(target=put, args=(camera,)) for camera in cameras)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    gone += three.close()
    threads[0].join()
    assert sorted(taken + gone) == sorted((camera, frame) for camera in cameras for frame in range(3000))
