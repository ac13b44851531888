# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Bags are read with the definitions of the message package, and with those that it had before."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.typesys import get_types_from_msg

from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import header, new_mcap_file
from ciae_ros.replay.bags.definitions import CIAE_MSGS, SEGMENTS, typestore

MESSAGES = Path(__file__).parents[3] / "ciae_msgs" / "msg"


@pytest.mark.parametrize("path", sorted(MESSAGES.glob("*.msg")), ids=lambda path: path.stem)
def test_definitions_are_those_of_the_package(path: Path) -> None:
    name = f"ciae_msgs/msg/{path.stem}"
    assert get_types_from_msg(CIAE_MSGS[name], name) == get_types_from_msg(path.read_text(), name)


@pytest.mark.parametrize("with_track_ids", [True, False])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_segments_with_and_without_track_ids_are_read(tmp_path: Path, with_track_ids: bool, count: int) -> None:
    store = typestore(with_track_ids)
    types = store.types
    box, point = (
        types["sensor_msgs/msg/RegionOfInterest"](1, 2, 3, 4, False),
        types["geometry_msgs/msg/Point32"](1, 2, 0),
    )
    track_ids = [(70_000 + number,) if with_track_ids else () for number in range(count)]
    segments = [
        types["ciae_msgs/msg/PanopticSegment"](number, 3, "car" * number, True, 0.5, 9, box, point, *track_id)
        for number, track_id in enumerate(track_ids, start=1)
    ]
    message = types[SEGMENTS](header(7, "camera"), 20, 30, "model", segments)
    with new_mcap_file(tmp_path / "drive.mcap") as writer:
        connection = writer.add_connection("/segments", SEGMENTS, typestore=store)
        writer.write(connection, 7, store.serialize_cdr(message, SEGMENTS))
    with open_bag(tmp_path / "drive.mcap") as bag:
        (found,) = bag.messages("/segments")
    assert [one.category_name for one in found.segments] == ["car" * number for number in range(1, count + 1)]
    assert [getattr(one, "track_id", None) for one in found.segments] == [
        track_id[0] if track_id else None for track_id in track_ids
    ]
