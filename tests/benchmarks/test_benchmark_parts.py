# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Operation counts, synthetic masks, interleaving, the paper's times, plots."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.harness.plots import CameraRow, plot_cameras
from benchmarks.harness.timing import Rounds, interleaved, milliseconds
from benchmarks.networks.fusion_inputs import random_input
from benchmarks.networks.synthetic_masks import LibraryOutputs, synthetic_outputs
from benchmarks.roofline.operator_counts import count_macs, count_operators


def test_a_convolution_is_counted() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    image = torch.randn(1, 3, 10, 20)
    assert count_macs(lambda: convolution(image)) == 10 * 20 * 8 * 3 * 9
    (operator,) = [o for o in count_operators(lambda: convolution(image)) if o.flops]
    assert operator.flops == 2 * 10 * 20 * 8 * 3 * 9
    assert operator.bytes == 4 * (3 * 10 * 20 + 8 * 3 * 9 + 8 * 10 * 20)


def test_attention_is_counted_whatever_kernel_runs_it() -> None:
    q = torch.randn(1, 2, 16, 8)
    assert count_macs(lambda: nn.functional.scaled_dot_product_attention(q, q, q)) == 2 * 2 * 16 * 16 * 8


def test_views_move_nothing() -> None:
    x = torch.randn(4, 6)
    assert count_operators(lambda: x.view(6, 4).T[1:]) == []


def test_synthetic_masks_partition_the_image() -> None:
    like = LibraryOutputs(torch.empty(1, 20, 134), torch.empty(1, 20, 30, 40))
    outputs = synthetic_outputs(like, surviving=15, num_things=80)
    score, label = outputs.class_queries_logits[0].softmax(dim=1).max(dim=1)
    assert (score > 0.9).all()
    assert (label[:15] < 80).all()
    assert (label[15:] == 133).all()
    positive = outputs.masks_queries_logits[0] > 0
    assert (positive.sum(dim=0) <= 1).all()
    assert positive[:15].flatten(1).any(dim=1).all()
    assert not positive[15:].any()


def test_everyone_has_a_turn_in_every_round() -> None:
    order: list[str] = []
    actions = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}  # type: ignore[misc]
    returned = interleaved(actions, Rounds(counted=2, warm_up=1))
    assert "".join(order) == "abcacbcab"
    assert returned == {"a": [4, 8], "b": [6, 9], "c": [5, 7]}


def test_spread() -> None:
    assert milliseconds([i / 1e3 for i in range(11)]) == pytest.approx({"median": 5, "p10": 1, "p90": 9})


@pytest.mark.parametrize("size", [(64, 96), (30, 40), (900, 1600)])
def test_random_fusion_input(size: tuple[int, int]) -> None:
    case = random_input(size, 5, torch.device("cpu"))
    assert torch.equal(case.assign(), case.assign_reference())
    result = case.fuse_and_download()
    assert result.label_map.shape == size
    assert case.geometry.resized[0] <= 800


def test_plot_of_cameras(tmp_path: Path) -> None:
    rows = [CameraRow(n, rate, n * rate, 20.0, 40.0, 0.1) for n in (1, 3) for rate in (30.0, 10.0)]
    paths = plot_cameras(rows, tmp_path, "test")
    assert [path.name for path in paths] == ["cameras.png", "cameras.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)
