# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Precision of the forward pass in training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.engine.precision import forward_precision

CPU = torch.device("cpu")


class _Recorder(nn.Module):
    """A dense, a depthwise and a grouped convolution, whose outputs are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(4, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.outputs: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        for layer in (self.dense, self.depthwise, self.grouped):
            image = layer(image)
            self.outputs.append(image)
        return image


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [torch.float32] * 3),
        ("bf16", [torch.bfloat16, torch.float32, torch.bfloat16]),
    ],
)
def test_depthwise_convolutions_stay_in_float32(name: str, expected: list[torch.dtype]) -> None:
    torch.manual_seed(0)
    network = _Recorder()
    image = torch.randn(2, 4, 16, 16)
    with forward_precision(name, CPU):
        output = network(image)
    assert [one.dtype for one in network.outputs] == expected
    output.float().square().sum().backward()
    exact = _Recorder()
    exact.load_state_dict(network.state_dict())
    exact(image).square().sum().backward()
    for ours, theirs in zip(network.parameters(), exact.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None and ours.grad.dtype == torch.float32
        assert nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.999
