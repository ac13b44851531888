# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The rate is kept on average, jitter does not halve it, and a clock that jumps back does not stop it."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.node.rate_limiter import RateLimiter


@pytest.mark.parametrize(("camera", "limit", "expected"), [(30, 15, 15), (30, 10, 10), (30, 29, 29), (150, 15, 15)])
def test_a_faster_camera_is_slowed_down_to_the_limit(camera: float, limit: float, expected: float) -> None:
    limiter = RateLimiter()
    times = np.arange(0, 20, 1 / camera) + np.random.default_rng(0).normal(0, 0.002, 20 * camera)
    admitted = sum(limiter.admits(now, limit) for now in times)
    assert admitted == pytest.approx(20 * expected, rel=0.04)
    assert admitted <= 20 * limit + 1


def test_a_camera_at_the_limit_passes_in_spite_of_jitter() -> None:
    limiter = RateLimiter()
    times = np.arange(0, 20, 1 / 15) + np.random.default_rng(0).normal(0, 0.003, 300)
    assert sum(limiter.admits(now, 15) for now in times) >= 297


def test_no_limit_admits_everything() -> None:
    assert all(RateLimiter().admits(0.0, 0.0) for _ in range(5))


def test_reset_makes_the_next_frame_pass_after_a_jump_back() -> None:
    limiter = RateLimiter()
    assert limiter.admits(1000.0, 1.0)
    assert not limiter.admits(5.0, 1.0)
    limiter.reset()
    assert limiter.admits(5.0, 1.0)


def test_the_limit_may_change_at_any_time() -> None:
    limiter = RateLimiter()
    assert limiter.admits(0.0, 1.0)
    assert not limiter.admits(0.5, 1.0)
    assert limiter.admits(0.5, 0.0)
