# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The times in the paper's Table I (COCO validation set), for printing beside what is measured here.

"Measured on 1 NVIDIA 2080Ti GPU with batch size as 1" (Sec. V-C), the mean over the validation set, end to end; fusion
is a part of it. Of the other methods the table has each publication's own device; those marked * were measured by the
paper's authors on the same 2080 Ti.
"""

from __future__ import annotations

from typing import NamedTuple


class PaperTime(NamedTuple):
    """A row of Table I."""

    method: str
    backbone: str
    pq: float
    """Percent."""
    device: str
    inference_ms: int
    fusing_ms: int | None
    contestant: str | None = None
    """What the benchmark `networks` calls the same network, if it has it."""


TABLE_1 = (
    PaperTime("Panoptic FPN", "ResNet-50-FPN", 39.4, "2080 Ti*", 121, 22),
    PaperTime("UPSNet", "ResNet-50-FPN", 42.5, "2080 Ti*", 174, 22),
    PaperTime("DeeperLab", "Xception-71", 33.8, "V100", 119, 25),
    PaperTime("RealTimePan", "ResNet-50-FPN", 37.1, "V100", 63, None),
    PaperTime("PCV", "ResNet-50-FPN", 37.5, "1080 Ti", 176, None),
    PaperTime("Panoptic-DeepLab", "Xception-71", 39.7, "V100", 132, None),
    PaperTime("Ours-512", "ResNet-50-FPN", 38.7, "2080 Ti", 48, 4, "ciae_r50_512"),
    PaperTime("Ours-640", "ResNet-50-FPN", 39.5, "2080 Ti", 59, 6, "ciae_r50_640"),
    PaperTime("Ours-800", "ResNet-50-FPN", 40.2, "2080 Ti", 80, 7, "ciae_r50_800"),
    PaperTime("Ours-800", "ResNet-101-FPN", 41.4, "2080 Ti", 96, 7),
    PaperTime("Ours-800", "ResNet-101-FPN-DCN", 44.2, "2080 Ti", 111, 7),
    PaperTime("Ours-800", "ResNeXt-101-FPN-DCN", 45.7, "2080 Ti", 176, 7),
)


def paper_time(contestant: str) -> PaperTime | None:
    """The paper's row of a contestant of `networks`."""
    return next((row for row in TABLE_1 if row.contestant == contestant), None)
