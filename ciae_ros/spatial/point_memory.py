# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Memory of points, in which they are published without a copy."""

from __future__ import annotations

from array import array

import numpy as np


class PointMemory:
    """An array of bytes that is used again for each frame: new memory would be cleared page by page first."""

    def __init__(self) -> None:
        self.data = array("B")
        """The points of the last frame."""

    def reserve(self, count: int, words: int) -> np.ndarray:
        """Return memory for points, (count, words) float32, which exactly fills `data`.

        Earlier memory must not be used any more; where it still is, it stays as it was.
        """
        missing = 4 * count * words - len(self.data)
        try:
            if missing < 0:
                del self.data[missing:]
            elif missing > 0:
                self.data.frombytes(bytes(missing))
        except BufferError:
            self.data = array("B", bytes(4 * count * words))
        return np.frombuffer(self.data, np.float32).reshape(count, words)
