# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Repair of JPEG images that deviate from the standard without losing data, as the encoders of many cameras write them.

Repaired are: bytes between the data of a restart interval and the next marker, bytes between the segments of the
header, spectral selection of another mode in the header of the scan, and a missing end of image. libjpeg warns of
these, but only of the first in an image, which may hide a loss of data. Therefore each restart interval is decoded as
an image of its own, without any warning, and what remains behind its last coefficient is removed.

Only sequential images with one scan are repaired (ITU-T T.81, B.2); cameras write no others.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import simplejpeg

START, END = b"\xff\xd8", b"\xff\xd9"
SEQUENTIAL_FRAMES = (0xC0, 0xC1)
OTHER_FRAMES = {0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
RESTART_INTERVAL, START_OF_SCAN = 0xDD, 0xDA
FIRST_RESTART = 0xD0
STANDALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length."""

MAX_ZEROS_KEPT = 3
"""Maximum number of trailing zeros of an interval that may be part of its data."""
MAX_EXTRANEOUS = 8
"""Maximum number of bytes that are removed from an interval, besides trailing zeros."""
MAX_SIDE = 65_500
"""Maximum width and height that libjpeg decodes."""


@dataclass(frozen=True)
class _Jpeg:
    """The parts of a sequential JPEG image with one scan."""

    tables: bytes
    """Segments of the header except those of frame, restart interval and scan."""
    frame: bytes
    """Start-of-frame segment with its marker."""
    scan_header: bytes
    """Start-of-scan segment with its marker."""
    units_per_interval: int
    """Minimum coded units (MCU) between restart markers; 0 if there are none."""
    intervals: tuple[bytes, ...]
    """Entropy-coded data between the restart markers."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = struct.unpack(">HH", self.frame[5:9])
        return height, width

    @property
    def unit_size(self) -> tuple[int, int]:
        """Height and width of a minimum coded unit in pixels (T.81, A.2)."""
        sampling = self.frame[11::3]
        if len(sampling) == 1:
            return 8, 8
        return 8 * max(factors & 15 for factors in sampling), 8 * max(factors >> 4 for factors in sampling)

    @property
    def num_units(self) -> int:
        """Number of minimum coded units of the image."""
        (height, width), (unit_height, unit_width) = self.size, self.unit_size
        return -(-height // unit_height) * -(-width // unit_width)

    def resized(self, height: int, width: int) -> _Jpeg:
        """Return the image with another size in its header."""
        return replace(self, frame=self.frame[:5] + struct.pack(">HH", height, width) + self.frame[9:])

    def to_bytes(self) -> bytes:
        """Write the image as a file."""
        restart = struct.pack(">HHH", 0xFF00 | RESTART_INTERVAL, 4, self.units_per_interval)
        header = START + self.tables + restart + self.frame + self.scan_header
        data = bytearray(self.intervals[0])
        for number, interval in enumerate(self.intervals[1:]):
            data += bytes((0xFF, FIRST_RESTART + number % 8)) + interval
        return header + bytes(data) + END


def repair_jpeg(data: bytes) -> bytes | None:
    """Return an equivalent image that libjpeg decodes without a warning; None if data is missing or corrupt.

    Args:
        data: the file, from its first marker on.
    """
    image = _parse(data)
    if image is None:
        return None
    # The most frequent case first, which needs the least time.
    without_zeros = replace(
        image, intervals=tuple(_prefix(each, _length_without_zeros(each)) for each in image.intervals)
    )
    for candidate in (image, without_zeros):
        if _decodes(candidate):
            return candidate.to_bytes()
    repaired = _without_extraneous_bytes(image)
    return repaired.to_bytes() if repaired is not None and _decodes(repaired) else None


def _parse(data: bytes) -> _Jpeg | None:
    """Split an image into its parts; None if it is incomplete, or not sequential with one scan."""
    tables, frame, units_per_interval = b"", b"", 0
    for marker, segment, end in _segments(data):
        if marker in OTHER_FRAMES:
            return None
        if marker in SEQUENTIAL_FRAMES:
            frame = segment
        elif marker == RESTART_INTERVAL and len(segment) == 6:
            units_per_interval = struct.unpack(">H", segment[4:])[0]
        elif marker == START_OF_SCAN:
            if len(frame) < 12 or segment[4:5] != frame[9:10]:
                return None
            intervals = _intervals(data[end:])
            if intervals is None:
                return None
            # Spectral selection and approximation of a sequential scan (T.81, table B.3).
            image = _Jpeg(tables, frame, segment[:-3] + b"\0\x3f\0", units_per_interval, intervals)
            expected = -(-image.num_units // units_per_interval) if units_per_interval else 1
            return image if len(intervals) == expected else None
        else:
            tables += segment
    return None


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Iterate over the segments of the header: marker, bytes including the marker, and their end in the file."""
    position = len(START)
    while found := re.compile(rb"\xff([^\x00\xff])").search(data, position):
        marker, start = found[1][0], found.start()
        if marker in STANDALONE:
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        position = start + 2 + length
        if length < 2 or position > len(data):
            return
        yield marker, data[start:position], position


def _intervals(data: bytes) -> tuple[bytes, ...] | None:
    """Split the data of a scan at its restart markers; None if one is missing."""
    intervals, start = [], 0
    # A marker may follow any number of fill bytes 0xFF; 0xFF 0x00 is a byte of data.
    for found in re.finditer(rb"\xff+([^\x00\xff])", data):
        intervals.append(data[start : found.start()])
        start = found.end()
        if not FIRST_RESTART <= found[1][0] < FIRST_RESTART + 8:
            return tuple(intervals)
        if found[1][0] != FIRST_RESTART + (len(intervals) - 1) % 8:
            return None
    return (*intervals, data[start:])


def _without_extraneous_bytes(image: _Jpeg) -> _Jpeg | None:
    """Remove the bytes behind the data of each interval; None if an interval is incomplete or corrupt."""
    intervals = []
    for number, interval in enumerate(image.intervals):
        whole = _shortest_whole_prefix(interval, _alone(image, number))
        if whole is None:
            return None
        intervals.append(whole)
    return replace(image, intervals=tuple(intervals))


def _shortest_whole_prefix(interval: bytes, alone: _Jpeg) -> bytes | None:
    """Return the data of an interval: the shortest prefix that libjpeg decodes without a warning, if there is one.

    Args:
        interval: data, and at most `MAX_EXTRANEOUS` bytes and any number of zeros behind it.
        alone: image of which the interval is the data.
    """

    def is_whole(end: int) -> bool:
        return _decodes(replace(alone, intervals=(_prefix(interval, end),)))

    length = _length_without_zeros(interval)
    shortest, longest = max(0, length - MAX_EXTRANEOUS), min(len(interval), length + MAX_ZEROS_KEPT)
    ends = [*range(length, longest + 1), *range(length - 1, shortest - 1, -1)]
    end = next((end for end in ends if is_whole(end)), None)
    if end is None:
        return None
    while end > shortest and is_whole(end - 1):
        end -= 1
    return _prefix(interval, end)


def _alone(image: _Jpeg, number: int) -> _Jpeg:
    """Return an image that consists of the minimum coded units of one interval."""
    if not image.units_per_interval:
        return image
    units = min(image.units_per_interval, image.num_units - number * image.units_per_interval)
    unit_height, unit_width = image.unit_size
    rows = next(rows for rows in range(1, units + 1) if units % rows == 0 and units // rows * unit_width <= MAX_SIDE)
    return replace(image.resized(rows * unit_height, units // rows * unit_width), units_per_interval=0)


def _prefix(interval: bytes, length: int) -> bytes:
    """Return the beginning of an interval, longer by one byte if that would divide the pair 0xFF 0x00."""
    return interval[: length + 1 if interval[:length].endswith(b"\xff") else length]


def _length_without_zeros(interval: bytes) -> int:
    return len(interval.rstrip(b"\0"))


def _decodes(image: _Jpeg) -> bool:
    """Whether libjpeg decodes the image without a warning."""
    try:
        simplejpeg.decode_jpeg(image.to_bytes(), "BGR", strict=True)
    except ValueError:
        return False
    return True
