# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Area, box and centroid compared with a count for each segment."""

from __future__ import annotations

import pytest
import torch

from ciae_ros.inference.fusion.segment_statistics import segment_statistics, statistics_from_projections


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 48)])
def test_both_ways_equal_counting_pixels(size: tuple[int, int]) -> None:
    winners = torch.randint(0, 9, size, dtype=torch.int16)
    winners[: size[0] // 2] = 3
    runs, projections = segment_statistics(winners, 12), statistics_from_projections(winners, 12)
    for q in range(12):
        y, x = torch.nonzero(winners == q).unbind(1)
        assert runs.area[q] == projections.area[q] == len(x)
        if len(x):
            box = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            assert runs.box[q].tolist() == projections.box[q].tolist() == [int(value) for value in box]
            mean = torch.stack((x.double().mean(), y.double().mean()))
            torch.testing.assert_close(runs.centroid[q], mean)
            torch.testing.assert_close(projections.centroid[q], mean)
