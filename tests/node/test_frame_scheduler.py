"""Only the newest frame of a camera waits, cameras take turns, and every frame is accounted for."""

from __future__ import annotations

import threading
import time

from ciae_ros.node.frame_scheduler import FrameScheduler


def test_the_newest_frame_replaces_the_one_that_waits() -> None:
    scheduler: FrameScheduler[int] = FrameScheduler(["front"])
    for frame in range(5):
        scheduler.put("front", frame)
    assert scheduler.take() == ("front", 4)
    assert scheduler.received["front"] == 5
    assert scheduler.dropped["front"] == 4


def test_cameras_are_served_in_turn_however_fast_one_is() -> None:
    scheduler: FrameScheduler[int] = FrameScheduler(["front", "rear", "side"])
    served = []
    for frame in range(6):
        scheduler.put("front", frame)
        if frame % 2 == 0:
            scheduler.put("rear", frame)
        turn = scheduler.take()
        assert turn is not None
        served.append(turn[0])
    assert served == ["front", "rear", "front", "rear", "front", "rear"]


def test_take_waits_for_a_frame_and_close_ends_the_wait() -> None:
    scheduler: FrameScheduler[int] = FrameScheduler(["front"])
    taken: list[object] = []
    taker = threading.Thread(target=lambda: taken.extend([scheduler.take(), scheduler.take()]))
    taker.start()
    time.sleep(0.05)
    assert taken == []
    scheduler.put("front", 7)
    time.sleep(0.05)
    scheduler.close()
    taker.join(timeout=5)
    assert taken == [("front", 7), None]


def test_close_drops_what_waits_and_forgets_what_comes_later() -> None:
    scheduler: FrameScheduler[int] = FrameScheduler(["front"])
    scheduler.put("front", 1)
    scheduler.close()
    scheduler.put("front", 2)
    assert scheduler.take() is None
    assert scheduler.received["front"] == 1
    assert scheduler.dropped["front"] == 1
