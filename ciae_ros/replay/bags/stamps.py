# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Stamps of messages with a header, in nanoseconds."""

from __future__ import annotations

import struct
from typing import Any


def stamp_of(message: Any) -> int:
    """Return the stamp of a message's header."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def stamp_of_serialized(raw: bytes) -> int | None:
    """Parse the stamp of a serialised message that begins with a header; None if it is too short."""
    if len(raw) < 12:
        return None
    order = "<" if raw[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", raw, 4)
    return int(seconds * 10**9 + nanoseconds)
