# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results of Triton's kernels are compared with those of the CPU, and the kernels are not used if they are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference import Predictor, untrained_checkpoint
from ciae_ros.inference.fusion import fused_image, triton_support
from ciae_ros.inference.fusion.triton_support import triton_refusal
from ciae_ros.inference.self_test import (
    MIN_AGREEMENT,
    SelfTestError,
    agreement,
    check_input,
    fault_of,
    textured_image,
    with_many_instances,
)
from ciae_ros.model import PRESETS
from tests.inference.triton_device import DEVICE, INTERPRETED, needs_device

CAR, TREE = Category(3, "car", True, (0, 0, 0)), Category(7, "tree", False, (0, 0, 0))
PERSON = Category(1, "person", True, (0, 0, 0))


def result(rows: list[list[int]], *categories: Category) -> PanopticResult:
    segments = [Segment(1 + place, category, 1.0, 1, (0, 0, 1, 1), (0, 0)) for place, category in enumerate(categories)]
    return PanopticResult(np.array(rows, np.uint16), tuple(segments))


@pytest.mark.parametrize(
    ("found", "pixels"),
    [
        (result([[1, 1, 1, 2, 0, 0]], CAR, TREE), 6),
        (result([[2, 2, 2, 1, 0, 0]], TREE, CAR), 6),
        (result([[1, 1, 1, 2, 0, 0]], CAR, CAR), 5),
        (result([[1, 1, 2, 3, 0, 0]], CAR, CAR, TREE), 5),
        (result([[1, 1, 1, 1, 1, 1]], CAR), 3),
        (result([[0, 0, 0, 0, 0, 0]]), 0),
    ],
    ids=["equal", "other ids", "other category", "divided", "merged", "nothing"],
)
def test_agreement(found: PanopticResult, pixels: int) -> None:
    expected = result([[1, 1, 1, 2, 0, 0]], CAR, TREE)
    assert agreement(found, expected) == agreement(expected, found) == pixels / 6


def test_the_worst_image_of_a_batch_counts() -> None:
    good, bad = result([[1, 1]], CAR), result([[1, 0]], CAR)
    assert fault_of([good, good], [good, good], "it") == ""
    assert fault_of([good, bad], [good, good], "it") == "it agrees with the CPU on 50.0% of the pixels only"


def test_inputs_may_differ_by_the_rounding_of_pixels_only() -> None:
    expected = torch.linspace(-2, 2, 48).view(1, 3, 4, 4)
    check_input(expected + 0.02, expected, (57.0, 58.0, 59.0))
    check_input(expected.bfloat16(), expected, (57.0, 58.0, 59.0))
    for wrong in (expected + 0.1, expected.flip(1), expected * torch.nan):
        with pytest.raises(SelfTestError, match="differs from that on the CPU"):
            check_input(wrong, expected, (57.0, 58.0, 59.0))


def test_the_image_has_edges_and_is_always_the_same() -> None:
    image = textured_image(97, 131)
    assert (image.shape, image.dtype) == ((97, 131, 3), np.uint8)
    assert np.array_equal(image, textured_image(97, 131))
    assert np.abs(np.diff(image.astype(int), axis=1)).max() > 50
    assert textured_image(1, 1).shape == (1, 1, 3)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """A predictor that uses the kernels, in Triton's interpreter unless there is a CUDA device."""
    monkeypatch.setattr(triton_support, "_refusals", {})
    if INTERPRETED:
        pretend_that_triton_runs(monkeypatch)
    torch.manual_seed(0)
    # Few classes, because suppression of their candidates takes most of the interpreter's time.
    config = replace(PRESETS["light_512"], num_stuff_classes=1, num_thing_classes=2)
    checkpoint = untrained_checkpoint("light", config, CategorySet((TREE, CAR, PERSON)))
    settings = replace(with_many_instances(checkpoint.settings), max_instances=20)
    return Predictor(checkpoint, str(DEVICE), settings=settings, input_size=64)


def pretend_that_triton_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the kernels for tensors of the CPU, except in what stands for the CPU."""
    is_plain = False
    plain_results = Predictor.plain_results

    def without_kernels(*arguments: Any) -> list[PanopticResult]:
        nonlocal is_plain
        is_plain = True
        found = plain_results(*arguments)
        is_plain = False
        return found

    monkeypatch.setattr(Predictor, "plain_results", without_kernels)
    for module in ("predictor", "fusion.fusion", "fusion.fused_image"):
        monkeypatch.setattr(
            f"ciae_ros.inference.{module}.runs_triton", lambda device: not is_plain and not triton_refusal(device)
        )


@needs_device
@pytest.mark.parametrize("is_half", [False, True])
def test_the_kernels_agree_with_the_cpu(
    predictor: Predictor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_half: bool
) -> None:
    if is_half:
        # Rounded, many of the network's scores are equal.
        network = predictor.run_network
        monkeypatch.setattr(
            predictor, "run_network", lambda batch: tree_map_only(Tensor, lambda x: x.half().float(), network(batch))
        )
    image = textured_image(60, 80)
    found = predictor.predict(image)
    assert predictor.has_fixed_shapes
    assert not caplog.text
    (expected,) = predictor.plain_results([(image, "rgb")], predictor.settings)
    assert sum(segment.category.is_thing for segment in found.segments) > 5
    assert agreement(found, expected) >= MIN_AGREEMENT


@needs_device
def test_a_wrong_kernel_is_used_for_no_result(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = textured_image(60, 80)
    (expected,) = predictor.plain_results([(image, "rgb")], predictor.settings)
    right = fused_image.look_up

    def look_up(table: Tensor, index: Tensor) -> Tensor:
        found = right(table, index)
        return found.roll(3, dims=1) if fused_image.runs_triton(index.device) else found

    monkeypatch.setattr("ciae_ros.inference.fusion.fusion.look_up", look_up)
    found = predictor.predict(image)
    assert agreement(found, expected) >= MIN_AGREEMENT
    assert not predictor.has_fixed_shapes
    assert f"Triton on {predictor.device} agrees with the CPU on" in caplog.text
    assert "plain PyTorch" in predictor.execution_reason
