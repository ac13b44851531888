# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of compressed PCD files of the Point Cloud Library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ciae_ros.core.compiled import compiled

KINDS = {("F", 4): np.float32, ("U", 4): np.uint32, ("I", 4): np.int32}


def read_pcd(path: Path) -> dict[str, np.ndarray]:
    """Return the fields of an organised cloud, each (height, width)."""
    data = path.read_bytes()
    end = data.index(b"\n", data.index(b"DATA binary_compressed")) + 1
    header = dict(line.split(" ", 1) for line in data[:end].decode().splitlines() if not line.startswith("#"))
    compressed, size = np.frombuffer(data[end : end + 8], np.uint32).tolist()
    values = np.empty(size, np.uint8)
    assert decompress_lzf(np.frombuffer(data[end + 8 : end + 8 + compressed], np.uint8), values) == size
    shape = int(header["HEIGHT"]), int(header["WIDTH"])
    kinds = [KINDS[kind, int(size)] for kind, size in zip(header["TYPE"].split(), header["SIZE"].split(), strict=True)]
    # Field by field, and not point by point.
    columns = values.view(np.uint32).reshape(len(kinds), *shape)
    return {name: columns[index].view(kinds[index]) for index, name in enumerate(header["FIELDS"].split())}


@compiled
def decompress_lzf(data: np.ndarray, values: np.ndarray) -> int:
    """Decompress LZF: literal bytes, and copies of earlier ones. Returns the number of bytes."""
    place = count = 0
    while place < len(data):
        control = int(data[place])
        place += 1
        if control < 32:
            for _ in range(control + 1):
                values[count] = data[place]
                count += 1
                place += 1
            continue
        length = control >> 5
        if length == 7:
            length += int(data[place])
            place += 1
        start = count - ((control & 31) << 8) - int(data[place]) - 1
        place += 1
        for index in range(length + 2):
            values[count] = values[start + index]
            count += 1
    return count
