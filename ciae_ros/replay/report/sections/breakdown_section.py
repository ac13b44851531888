# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""PQ by size and position of segments."""

from __future__ import annotations

import pandas as pd

from ciae_ros.replay.report.charts import Labels, bar_chart
from ciae_ros.replay.report.page import Section


def breakdowns_section(sizes: pd.DataFrame, distances: pd.DataFrame) -> Section:
    """Build the section with its two charts.

    Args:
        sizes: size and pq of small, medium and large segments.
        distances: low, high and pq of rings around the image's centre.
    """
    by_size = bar_chart(
        Labels("sizes", "area", "PQ, %", "By a segment's area: small below 32², medium below 96² pixels, large above."),
        [str(size) for size in sizes["size"]],
        100 * sizes["pq"].to_numpy(float),
    )
    by_distance = bar_chart(
        Labels(
            "distances",
            "distance from the centre",
            "PQ, %",
            "By how far a segment's centroid is from the image's centre; 1 is a corner.",
        ),
        [f"{low:.1f}–{high:.1f}" for low, high in zip(distances["low"], distances["high"], strict=True)],
        100 * distances["pq"].to_numpy(float),
    )
    return Section("where", "Size and place", plots=(by_size, by_distance))
