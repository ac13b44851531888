# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a CUDA graph reads is kept, and what it computes is not."""

from __future__ import annotations

import gc
import weakref
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ciae_ros.inference.graph_inputs import GraphInputs, keep_for_graph
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel
from ciae_ros.inference.loading.named_models import TORCH, load_for_backend
from ciae_ros.inference.networks.mask_network import MaskNetwork
from tests.inference.loading.huggingface_models import write_model


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


def test_the_position_embeddings_of_maskformer_are_kept_for_their_size(tmp_path: Path) -> None:
    model = load_for_backend(str(write_model("maskformer", tmp_path / "model")), TORCH)
    assert isinstance(model, MaskModel)
    network = MaskNetwork(model, torch.device("cpu"), torch.float32)
    image = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        network(image)
        inputs = GraphInputs()
        with inputs:
            network(image)
        module: nn.Module = model.module
        own = {tensor.untyped_storage().data_ptr() for tensor in (image, *module.parameters(), *module.buffers())}
        storages = [each for each in inputs.kept if isinstance(each, torch.UntypedStorage)]
        cached = [weakref.ref(each) for each in storages if each.data_ptr() not in own]
        del storages
        network(torch.zeros(1, 3, 64, 96))
    gc.collect()
    assert cached
    assert all(each() is not None for each in cached)
    del inputs
    gc.collect()
    assert all(each() is None for each in cached)
