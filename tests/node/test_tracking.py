# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Identities of things in the node's messages: through occlusions, and what resets them."""

from __future__ import annotations

from collections.abc import Iterator

import motrics
import numpy as np
import pytest
from ciae_msgs.msg import PanopticSegments
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from tests.node.harness import Client, header, node_in_this_process
from tests.node.true_labels import TrueLabels

IMAGE = np.zeros((60, 80, 3), np.uint8)
PERIOD = 100_000_000
MIN_PIXELS = 30
START = 1_000_000_000_000


def labels(*left: int) -> tuple[np.ndarray, list[str]]:
    """Return labels with a car at each of these columns."""
    found = np.ones((60, 80), np.uint16)
    for number, x in enumerate(left, start=2):
        found[20:35, x : x + 12] = number
    return found, ["road", *["car"] * len(left)]


def answer(client: Client, stamp: int, image: np.ndarray = IMAGE) -> PanopticSegments:
    client.publish(image, stamp)
    client.wait(lambda: stamp in client.segments)
    return client.segments[stamp]


def ids(message: PanopticSegments) -> list[int]:
    return [segment.track_id for segment in message.segments if segment.is_thing]


@pytest.fixture
def truth() -> TrueLabels:
    return TrueLabels()


def test_ids_stay_until_the_tracks_are_reset(client: Client, truth: TrueLabels) -> None:
    truth.show(*labels(5, 40))
    with node_in_this_process(truth.load):
        client.wait_for_results()
        first = answer(client, START)
        assert [segment.track_id for segment in first.segments if not segment.is_thing] == [0]
        one, other = ids(first)
        assert 0 < one < other
        truth.show(*labels(8, 43, 60))
        *known, new = ids(answer(client, START + PERIOD))
        assert known == [one, other]
        assert new > other
        response = client.call("reset_tracks", Trigger, Trigger.Request())
        assert (response.success, response.message) == (True, "the tracks of all cameras have been reset")
        assert min(ids(answer(client, START + 2 * PERIOD))) > new


def test_tracking_is_switched_while_the_node_runs(client: Client, truth: TrueLabels) -> None:
    truth.show(*labels(5, 40))
    with node_in_this_process(truth.load, tracking__enabled=False):
        client.wait_for_results()
        assert ids(answer(client, START)) == [0, 0]
        assert client.set_parameters_of_node(tracking__enabled=True, tracking__max_gap=0.5) == ["", ""]
        found = ids(answer(client, START + PERIOD))
        assert min(found) > 0
        truth.show(*labels())
        answer(client, START + 2 * PERIOD)
        truth.show(*labels(5, 40))
        assert ids(answer(client, START + 5 * PERIOD)) == found
        assert not set(ids(answer(client, START + 11 * PERIOD))) & set(found), "the gap was longer than 0.5 s"


def test_a_clock_that_jumps_back_resets_the_tracks(client: Client, truth: TrueLabels) -> None:
    clock = client.create_publisher(Clock, "/clock", 10)
    truth.show(*labels(5, 40))
    with node_in_this_process(truth.load, use_sim_time=True) as node:
        client.wait_for_results()

        def set_time(stamp: int) -> None:
            def is_set() -> bool:
                clock.publish(Clock(clock=header(stamp).stamp))
                return node.get_clock().now().nanoseconds == stamp

            client.wait(is_set)

        set_time(START)
        first = ids(answer(client, START))
        set_time(START - 10 * PERIOD)
        # The stamps go on: it is the clock that tells.
        assert not set(ids(answer(client, START + PERIOD))) & set(first)


def test_cameras_have_tracks_of_their_own_and_no_id_twice(client: Client, truth: TrueLabels) -> None:
    truth.show(*labels(5, 40))
    with node_in_this_process(truth.load, cameras=["/x", "/y"]):
        cameras = [Client(topic=f"/{name}", outputs=f"/panoptic_node/{name}") for name in "xy"]
        for camera in cameras:
            camera.wait_for_results()
        found = [ids(answer(camera, START)) for camera in cameras for _ in range(2)]
        for camera in cameras:
            camera.destroy_node()
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert not set(found[0]) & set(found[2])


@pytest.fixture(scope="module")
def crossing() -> Iterator[list[object]]:
    """Frames of the crossing, 10 per second."""
    drive = pytest.importorskip("tests.rendering.drive", reason="needs MuJoCo, of requirements-dev.txt")
    from tests.rendering.crossing import CROSSING, turning_camera  # noqa: PLC0415

    for street in drive.open_drive(480, 640, CROSSING, turning_camera):
        yield list(street.frames(np.arange(0, 6, 0.1)))


def test_people_behind_cars_and_each_other_seen_by_a_turning_camera(
    client: Client, truth: TrueLabels, crossing: list[object]
) -> None:
    from tests.rendering.truth import labelled_frame  # noqa: PLC0415

    true_ids, found_ids, matches = [], [], []
    with node_in_this_process(truth.load, expected_sizes=["640x480"]):
        client.wait_for_results()
        for number, frame in enumerate(crossing):
            labelled = labelled_frame(frame)
            truth.show(labelled.labels, [segment.category_name for segment in labelled.segments])
            message = answer(client, START + number * PERIOD, frame.image)
            assert all(segment.track_id for segment in message.segments if segment.is_thing)
            # Slivers of a few pixels count as hidden.
            true = [one.track_id for one in labelled.segments if np.sum(labelled.labels == one.id) >= MIN_PIXELS]
            pairs = zip(labelled.segments, message.segments, strict=True)
            found = [one.track_id for segment, one in pairs if segment.is_thing and segment.track_id in true]
            true_ids.append([number for number in true if number])
            found_ids.append(found)
            matches.append(np.eye(len(found)).tolist())
    hidden = sum(len(one) < max(map(len, true_ids)) for one in true_ids)
    assert hidden > 20, "objects are hidden for a while"
    switches = motrics.compute_clear_from_similarity(true_ids, found_ids, matches).num_switches
    hota = motrics.compute_hota_from_similarity(true_ids, found_ids, matches).hota
    print(f"{len(crossing)} frames, {switches} identity switches, HOTA {hota:.3f}")
    assert switches <= 10
    assert hota > 0.9
