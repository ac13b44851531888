# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Run-length encoding of label maps is lossless."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.core.run_lengths import decode_runs, encode_runs


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (48, 64)])
@pytest.mark.parametrize("values", [1, 2, 300])
def test_round_trip(shape: tuple[int, int], values: int) -> None:
    label_map = np.random.default_rng(0).integers(0, values, shape, np.uint16)
    ids, lengths = encode_runs(label_map)
    assert ids.dtype == np.uint16
    assert (ids[1:] != ids[:-1]).all(), "runs as long as they can be"
    assert lengths.sum() == label_map.size
    np.testing.assert_array_equal(decode_runs(ids, lengths, shape), label_map)


def test_runs_go_on_over_the_ends_of_rows() -> None:
    ids, lengths = encode_runs(np.array([[1, 2, 2], [2, 2, 3]]))
    assert ids.tolist() == [1, 2, 3]
    assert lengths.tolist() == [1, 4, 1]
