# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""PQ by how large segments are, and by where they are."""

from __future__ import annotations

import pandas as pd

from ciae_ros.replay.report.charts import Labels, bar_chart
from ciae_ros.replay.report.page import Section


def breakdowns_section(sizes: pd.DataFrame, distances: pd.DataFrame) -> Section:
    """Two charts.

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
