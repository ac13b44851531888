# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The tracker on the true masks of a real drive of 100 frames, 5 per second, with 90 objects, of which 27 have gaps."""

from __future__ import annotations

from pathlib import Path

import motrics
import numpy as np
import pytest

from ciae_ros.tracking.tracker import Tracker
from tests.tracking.bdd100k import PERIOD, Sample, read_sample, without_ids
from tests.tracking.frames import track_ids

BYTETRACK_HOTA, BYTETRACK_SWITCHES = 0.828, 65
"""Of ByteTrack with the boxes of the same masks."""


@pytest.fixture(scope="module")
def sample(data: Path) -> Sample:
    return read_sample(data)


def test_the_tracker_is_better_than_bytetrack_with_perfect_boxes(sample: Sample) -> None:
    tracker = Tracker()
    found = [
        track_ids(tracker.update(without_ids(result), PERIOD * number)) for number, result in enumerate(sample.truth)
    ]
    assert sum(map(len, found)) == 1768
    assert min(min(ids) for ids in found) > 0, "no thing is left without an id"
    assert all(len(set(ids)) == len(ids) for ids in found)
    true = [track_ids(result) for result in sample.truth]
    matches = [np.eye(len(ids)).tolist() for ids in true]
    switches = motrics.compute_clear_from_similarity(true, found, matches).num_switches
    hota = motrics.compute_hota_from_similarity(true, found, matches).hota
    assert switches < BYTETRACK_SWITCHES
    assert hota > BYTETRACK_HOTA + 0.1
