# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a CUDA graph reads is kept, and what it computes is not."""

from __future__ import annotations

import gc
import weakref
from functools import lru_cache

import torch
from torch import Tensor

from ciae_ros.inference.graph_inputs import GraphInputs, keep_for_graph


@lru_cache(maxsize=1)
def position_embedding(size: int) -> Tensor:
    """Return a table as transformers caches it."""
    return torch.arange(size).sin()


def test_what_operators_read_outlives_its_cache() -> None:
    storage = weakref.ref(position_embedding(5).untyped_storage())
    inputs = GraphInputs()
    with inputs, torch.inference_mode():
        (position_embedding(5)[1:] * 2).sum()
    position_embedding(6)
    gc.collect()
    assert storage() is not None
    del inputs
    gc.collect()
    assert storage() is None


def test_intermediate_results_are_not_kept() -> None:
    image, target = torch.ones(100), torch.zeros(100)
    with GraphInputs() as inputs, torch.inference_mode():
        doubled = torch.empty(100)
        torch.mul(image, 2, out=doubled)
        halves = doubled.view(2, 50).unbind()
        target.copy_(torch.cat([halves[1] + 1, halves[0]]))
        intermediate = weakref.ref(doubled.untyped_storage())
        del doubled, halves
    gc.collect()
    assert intermediate() is None
    assert {id(storage) for storage in inputs.kept} == {id(each.untyped_storage()) for each in (image, target)}


def test_what_kernels_read_is_kept_within_a_capture_only() -> None:
    before, within = object(), object()
    keep_for_graph(before)
    with GraphInputs(watch_operators=False) as inputs:
        keep_for_graph(within)
        torch.ones(3).sum()
    keep_for_graph(before)
    assert inputs.kept == [within]
