# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Topics and messages of a bag file, and descriptions of files that are not bags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

CDR = "cdr"
"""Encoding of the messages of ROS 2."""
ROS1_HINT = "convert it with `rosbags-convert --src FILE.bag --dst FOLDER`, which is installed with this package"


class RecordedTopic(NamedTuple):
    """A topic of a file. A topic with several publishers may occur several times."""

    id: int
    """Identifier in the file."""
    topic: str
    msgtype: str
    """Message type, as in sensor_msgs/msg/Image."""
    msgcount: int
    """Number of readable messages."""
    definition: str = ""
    """Text of the message definition; empty if it is not in the file."""
    is_idl: bool = False
    """Whether the definition is in IDL."""
    digest: str = ""
    """RIHS01 hash of the type; empty if it is not in the file."""
    qos: str = ""
    """`offered_qos_profiles` as recorded."""


class BagFile(Protocol):
    """An open file of a bag."""

    topics: list[RecordedTopic]
    """Topics of ROS 2 messages."""
    other_encodings: dict[str, str]
    """Topics with messages that are not of ROS 2, and their encodings."""

    @property
    def is_sorted(self) -> bool:
        """Whether messages are in the order of their log times."""
        ...

    @property
    def problems(self) -> list[str]:
        """What has been found to be damaged so far, one line each, without the name of the file."""
        ...

    def messages(self, ids: Collection[int], start: int | None = None) -> Iterator[tuple[int, int, bytes]]:
        """Iterate over topic id, log time in nanoseconds and CDR of the readable messages of some topics.

        Args:
            ids: identifiers of the topics.
            start: log time of the first message; None for all.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def describe_foreign_file(path: Path) -> str:
    """Describe a file that is not a bag, such as a Git LFS pointer, and what to do; empty if its kind is unknown."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    if not head.strip(b"\0"):
        return "begins with zeros: its blocks were never written to the disk"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"
    if head.startswith(b"#ROSBAG V"):
        return f"is a bag of ROS 1: {ROS1_HINT}"
    return ""
