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


@cache
def typestore() -> Typestore:
    """Return the types of the latest ROS 2; the messages above are unchanged since Humble."""
    store = get_typestore(Stores.LATEST)
    for name, text in CIAE_MSGS.items():
        store.register(get_types_from_msg(text, name))
    return store
