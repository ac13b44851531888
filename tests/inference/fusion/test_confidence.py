# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Margins between categories, and the probabilities that are made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ciae_ros.inference.fusion import confidence as module
from ciae_ros.inference.fusion.confidence import MAX_MARGIN, STEP, Margins, confidence, margins, margins_at_once
from ciae_ros.inference.geometry import image_geometry
from ciae_ros.inference.settings import InferenceSettings

NUM_STUFF = 4
SETTINGS = InferenceSettings(confidence_slope=8.0, confidence_offset=-1.0)


def case(seed: int, instances: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return embedding, queries, categories and boxes; several instances have the same category."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(8, 24, 32, generator=generator)
    queries = F.normalize(torch.randn(NUM_STUFF + instances, 8, generator=generator), dim=1)
    things = torch.randint(NUM_STUFF, NUM_STUFF + 3, (instances,), generator=generator)
    corners = torch.rand(instances, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([128.0, 96])
    return embedding, queries, torch.cat((torch.arange(NUM_STUFF), things)), corners.flatten(1)


def literal(
    embedding: torch.Tensor, queries: torch.Tensor, categories: torch.Tensor, boxes: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each sample with each query whose box contains the centre of the sample."""
    height, width = -(-embedding.shape[1] // STEP), -(-embedding.shape[2] // STEP)
    margin, winner = np.empty((height, width)), np.empty((height, width), int)
    for i in range(height):
        for j in range(width):
            cosine = queries @ F.normalize(embedding[:, STEP * i, STEP * j], dim=0)
            x, y = 4 * (STEP * j + 0.5), 4 * (STEP * i + 0.5)
            eligible = [
                q
                for q in range(len(queries))
                if q < NUM_STUFF
                or (
                    boxes[q - NUM_STUFF, 0] <= x <= boxes[q - NUM_STUFF, 2]
                    and boxes[q - NUM_STUFF, 1] <= y <= boxes[q - NUM_STUFF, 3]
                )
            ]
            best = max(eligible, key=lambda q: float(cosine[q]))
            others = [float(cosine[q]) for q in eligible if categories[q] != categories[best]]
            margin[i, j], winner[i, j] = float(cosine[best]) - max(others), best
    return margin, winner


@pytest.mark.parametrize("instances", [0, 1, 7])
def test_the_margin_is_to_the_best_query_of_another_category(instances: int) -> None:
    arguments = case(0, instances)
    expected, winner = literal(*arguments)
    found = margins(*arguments)
    np.testing.assert_allclose(found.margin, expected, atol=1e-5)
    np.testing.assert_array_equal(found.winner, winner)


def test_compiled_loops_and_fixed_shapes_agree() -> None:
    for seed in range(5):
        embedding, queries, categories, boxes = case(seed)
        similarity = embedding.permute(1, 2, 0) @ queries.T
        fixed = margins_at_once(similarity, categories, boxes / 4 - 0.5)
        loops = module._by_rows(similarity, categories, boxes / 4 - 0.5)
        for one, other in zip(fixed, loops, strict=True):
            assert torch.equal(one, other)


def test_the_margin_does_not_depend_on_the_norm_of_pixels() -> None:
    embedding, queries, categories, boxes = case(1)
    found = margins(embedding, queries, categories, boxes).margin
    scaled = margins(embedding * torch.rand(24, 32).add(0.1), queries, categories, boxes).margin
    torch.testing.assert_close(found, scaled)


def test_a_pixel_without_a_direction_has_no_margin() -> None:
    embedding, queries, categories, boxes = case(1)
    assert margins(torch.zeros_like(embedding), queries, categories, boxes).margin.max() == 0


def test_a_single_category_has_the_largest_margin() -> None:
    embedding, queries, _, _ = case(1)
    found = margins(embedding, queries[:1], torch.zeros(1, dtype=torch.int64), torch.empty(0, 4))
    assert (found.margin == MAX_MARGIN).all()


def test_probabilities_of_pixels_and_queries() -> None:
    geometry = image_geometry(180, 240, 180, 400)
    margin = torch.zeros(24, 32)
    margin[:, 8:] = 0.5
    winner = torch.zeros(24, 32, dtype=torch.int64)
    winner[:12] = 2
    # What is in the padding must not count.
    margin[23:], margin[:, 30:], winner[23:], winner[:, 30:] = 2.0, 2.0, 1, 1
    found = confidence(Margins(margin, winner), 4, SETTINGS, geometry)
    low, high = 1 / (1 + np.exp(1)), 1 / (1 + np.exp(-3))
    assert found.at_samples.shape == (23, 30)
    assert found.at_samples.unique().tolist() == [round(255 * low), round(255 * high)]
    expected = (8 * low + 22 * high) / 30
    np.testing.assert_allclose(found.of_query, [expected, low, expected, low], rtol=1e-5)
