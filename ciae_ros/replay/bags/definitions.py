# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Message definitions for reading bags, including those of ciae_msgs, without a ROS installation."""

from __future__ import annotations

from functools import cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
SEGMENTS = "ciae_msgs/msg/PanopticSegments"

CIAE_MSGS = {
    "ciae_msgs/msg/PanopticSegment": """
uint16 id
uint16 category_id
string category_name
bool is_thing
float32 score
uint32 area
sensor_msgs/RegionOfInterest box
geometry_msgs/Point32 centroid
uint32 track_id
""",
    SEGMENTS: """
std_msgs/Header header
uint32 height
uint32 width
string model
PanopticSegment[] segments
""",
    "ciae_msgs/msg/RunLengthLabels": """
std_msgs/Header header
uint32 height
uint32 width
uint16[] ids
uint32[] lengths
""",
}
"""Copies of ciae_msgs/msg, which is not part of the installed package; a test compares them."""


TRACK_ID = "uint32 track_id\n"
"""Field of segments that bags recorded before there were tracks lack."""


@cache
def typestore(with_track_ids: bool = True) -> Typestore:
    """Return the types of the latest ROS 2; its messages that are read here are unchanged since Humble.

    Args:
        with_track_ids: False for the segments of bags that were recorded before there were tracks.
    """
    store = get_typestore(Stores.LATEST)
    for name, text in CIAE_MSGS.items():
        store.register(get_types_from_msg(text if with_track_ids else text.replace(TRACK_ID, ""), name))
    return store
