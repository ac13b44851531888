# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Times of Table I (COCO validation set), for comparison with measured ones.

"Measured on 1 NVIDIA 2080Ti GPU with batch size as 1" (Sec. V-C): the mean over the validation set, end to end; fusion
is included. The other methods were measured on the devices of their publications; those marked * by the authors of the
paper on the same 2080 Ti.
"""

from __future__ import annotations

from typing import NamedTuple

from ciae_ros.model import PRESETS, ModelConfig
from training.paper.tables import TABLES, TIMES

BACKBONES = {
    "r50": "ResNet-50-FPN",
    "r101": "ResNet-101-FPN",
    "r101_dcn": "ResNet-101-FPN-DCN",
    "x101_dcn": "ResNeXt-101-FPN-DCN",
}
"""Names of the backbones in the paper, by the prefix of a preset's name."""


class PublishedTime(NamedTuple):
    """A row of Table I."""

    method: str
    backbone: str
    pq: float
    """Panoptic quality in percent."""
    device: str
    inference_ms: int
    fusion_ms: int | None
    preset: str | None = None
    """Preset of the same network, if any."""


OTHER_METHODS = (
    PublishedTime("Panoptic FPN", "ResNet-50-FPN", 39.4, "2080 Ti*", 121, 22),
    PublishedTime("UPSNet", "ResNet-50-FPN", 42.5, "2080 Ti*", 174, 22),
    PublishedTime("DeeperLab", "Xception-71", 33.8, "V100", 119, 25),
    PublishedTime("RealTimePan", "ResNet-50-FPN", 37.1, "V100", 63, None),
    PublishedTime("PCV", "ResNet-50-FPN", 37.5, "1080 Ti", 176, None),
    PublishedTime("Panoptic-DeepLab", "Xception-71", 39.7, "V100", 132, None),
)


def _ciae_times() -> list[PublishedTime]:
    table = TABLES["table1"]
    times = []
    for row in table.rows:
        backbone, _, size = row.name.rpartition("_")
        values = dict(zip(table.columns, row.published or (), strict=True))
        inference, fusion = (int(values[column]) for column in TIMES)
        method, name = f"CIAE-{size}", BACKBONES[backbone]
        times.append(PublishedTime(method, name, values["PQ"], "2080 Ti", inference, fusion, row.name))
    return times


PUBLISHED_TIMES = (*OTHER_METHODS, *_ciae_times())


def published_time(config: ModelConfig) -> PublishedTime | None:
    """Return the row of Table I with this backbone and input size, if there is one."""
    for row in PUBLISHED_TIMES:
        preset = PRESETS[row.preset] if row.preset else None
        keys = ("backbone", "deformable_stages", "input_size")
        if preset is not None and all(getattr(config, key) == getattr(preset, key) for key in keys):
            return row
    return None
