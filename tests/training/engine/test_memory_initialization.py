# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Initial directions of the memory that are far apart."""

from __future__ import annotations

import pytest
import torch

from ciae_ros.inference import coco_categories
from training.config import TrainingConfig
from training.engine.builders import build_state
from training.engine.memory_initialization import spread_directions


def largest_cosine(vectors: torch.Tensor) -> float:
    assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)))
    return float((vectors @ vectors.T).fill_diagonal_(-1).max())


@pytest.mark.parametrize(("count", "dimensions", "optimum"), [(54, 32, 0.0), (9, 32, -1 / 8), (2, 16, -1.0)])
def test_the_closest_pair_is_almost_as_far_apart_as_possible(count: int, dimensions: int, optimum: float) -> None:
    """The optimum is a simplex of up to d + 1 vectors, and orthogonal for up to 2 d (Rankin's bounds)."""
    torch.manual_seed(0)
    random = torch.nn.functional.normalize(torch.randn(count, dimensions), dim=1)
    found = largest_cosine(spread_directions(count, dimensions))
    assert optimum - 1e-5 <= found < optimum + 0.02
    assert found < largest_cosine(random)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_vectors(count: int) -> None:
    assert spread_directions(count, 8).shape == (count, 8)
    assert spread_directions(count, 8).isfinite().all()


def test_the_configured_initialisation() -> None:
    def memory(initialization: str) -> torch.Tensor:
        values = {
            "name": "test",
            "model": {"preset": "light_512"},
            "pretrained": None,
            "data": {"train": "missing.json"},
            "optimization": {"frozen_stages": 0},
            "memory": {"initialization": initialization},
        }
        config = TrainingConfig.model_validate(values)
        return build_state(config, coco_categories(), torch.device("cpu")).model.memory.vectors

    assert largest_cosine(memory("spread")) < 0.02
    assert largest_cosine(memory("random")) > 0.4
