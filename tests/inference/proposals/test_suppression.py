# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Suppression equals torchvision's, whose Python package it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from ciae_ros.inference.proposals import suppression
from ciae_ros.inference.proposals.suppression import box_iou, class_wise_nms


def random_boxes(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    corner, size = torch.rand(count, 2) * 300, torch.rand(count, 2) * 100 + 1
    return torch.cat((corner, corner + size), dim=1), torch.rand(count), torch.randint(0, 5, (count,))


@pytest.mark.parametrize("count", [0, 1, 300, 1500])
def test_kept_boxes_are_those_of_torchvision(count: int) -> None:
    boxes, scores, classes = random_boxes(count)
    found = class_wise_nms(boxes, scores, classes, 0.3)
    assert torch.equal(found, torchvision.ops.batched_nms(boxes, scores, classes, 0.3))
    assert count < 300 or 5 < len(found) < count


def test_overlaps_are_those_of_torchvision() -> None:
    boxes, _, _ = random_boxes(50)
    torch.testing.assert_close(box_iou(boxes), torchvision.ops.box_iou(boxes, boxes))


def test_the_operators_are_loaded_without_the_package() -> None:
    program = (
        "import sys, torch\n"
        "from ciae_ros.inference.proposals.suppression import class_wise_nms\n"
        "boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 8]])\n"
        "kept = class_wise_nms(boxes, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 0, 1]), 0.5)\n"
        "print(kept.tolist(), 'torchvision' in sys.modules)\n"
        "import torchvision\n"
        "print(torchvision.ops.nms(boxes, torch.tensor([0.1, 0.2, 0.3]), 0.5).tolist())\n"
    )
    root = Path(suppression.__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=120, check=True
    )
    assert found.stdout == "[2, 1] False\n[2]\n"


def test_of_equal_scores_the_first_one_comes_first() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [20.0, 0, 29, 9], [40.0, 0, 49, 9], [60.0, 0, 69, 9]])
    kept = class_wise_nms(boxes, torch.tensor([0.5, 0.5, 0.75, 0.5]), torch.tensor([1, 0, 1, 0]), 0.5)
    assert kept.tolist() == [2, 0, 1, 3]
