# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Options of the detector's targets and losses that the paper does not have, against reference implementations."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.fcos import FCOS
from torchvision.ops import generalized_box_iou_loss

from ciae_ros.inference.proposals.candidates import select_candidates
from ciae_ros.model import CIAE, ModelConfig, RawOutputs
from training.data.sample import CROWD, VOID
from training.data.target import Target, make_target, stack_targets
from training.losses.assignment import locations_of
from training.losses.detection_config import DetectionLossConfig
from training.losses.detection_loss import detection_losses
from training.losses.detection_targets import BACKGROUND, detection_targets
from training.losses.semantic_loss import auxiliary_semantic_loss

STRIDES = (8, 16, 32, 64, 128)
S, NUM_CLASSES = 3, 4
MODEL = ModelConfig(num_stuff_classes=S, num_thing_classes=NUM_CLASSES)


def _sizes(target: Target) -> list[tuple[int, int]]:
    height, width = target.segments.shape[1:]
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]


def _separate_rectangles(seed: int, height: int = 416, width: int = 704) -> Target:
    """Return rectangles of many sizes in the cells of a grid, whose masks are therefore their boxes.

    Boxes are smaller by fractions of a pixel, so that no location lies on their sides or on the border of a level,
    where torchvision decides differently.
    """
    generator = torch.Generator().manual_seed(seed)
    segments = torch.zeros(height, width, dtype=torch.int16)
    columns, rows = 3 + seed % 3, 1 + seed % 3
    for k in range(rows * columns):
        cell_h, cell_w = height // rows, width // columns
        h, w = (int(torch.randint(4, side, (), generator=generator)) for side in (cell_h, cell_w))
        y = k // columns * cell_h + int(torch.randint(0, cell_h - h + 1, (), generator=generator))
        x = k % columns * cell_w + int(torch.randint(0, cell_w - w + 1, (), generator=generator))
        segments[y : y + h, x : x + w] = S + k
    target = make_target(segments, torch.randint(0, NUM_CLASSES, (rows * columns,), generator=generator), S)
    target.boxes[0] -= torch.tensor([0.25, 0.25, 0.75, 0.75])
    return target


def _irregular(seed: int, height: int = 96, width: int = 160, instances: int = 5) -> Target:
    torch.manual_seed(seed)
    segments = torch.randint(-1, S, (height, width), dtype=torch.int16)
    for k in range(instances):
        h, w = (int(torch.randint(8, side, ())) for side in (height, width))
        y, x = int(torch.randint(0, height - h + 1, ())), int(torch.randint(0, width - w + 1, ()))
        segments[y : y + h, x : x + w][torch.rand(h, w) < 0.8] = S + k
    segments[: height // 4, : width // 4] = CROWD
    return make_target(segments, torch.randint(0, NUM_CLASSES, (instances,)), S)


# Centre sampling.


def _matches_of_torchvision(target: Target, radius: float) -> Tensor:
    """Return the index of the box that torchvision's FCOS assigns to each location, or -1."""
    locations = locations_of(_sizes(target), torch.device("cpu"))
    center, half = torch.stack((locations.x, locations.y), dim=1), locations.stride[:, None] / 2
    anchors = torch.cat((center - half, center + half), dim=1)
    seen: dict[str, Any] = {}
    head = SimpleNamespace(compute_loss=lambda targets, outputs, anchors, matched: seen.update(matched=matched))
    model = SimpleNamespace(center_sampling_radius=radius, head=head)
    per_level = [height * width for height, width in _sizes(target)]
    FCOS.compute_loss(model, [{"boxes": target.boxes[0]}], {}, [anchors], per_level)  # type: ignore[arg-type]
    return seen["matched"][0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("radius", [1.5, 0.75])
def test_center_sampling_is_that_of_torchvision(seed: int, radius: float) -> None:
    target = _separate_rectangles(seed)
    config = DetectionLossConfig(assignment="center", center_radius=radius)
    targets = detection_targets(target, _sizes(target), S, config)
    matched = _matches_of_torchvision(target, radius)
    assert torch.equal(targets.positive[0], matched >= 0)
    positive = matched >= 0
    assert torch.equal(targets.classes[0][positive], target.classes[0][matched[positive]])
    everything = detection_targets(target, _sizes(target), S).positive
    assert 0 < targets.positive.sum() < everything.sum()


# ATSS.


def literal_atss(target: Target, k: int) -> list[int]:
    """Follow Algorithm 1 of the paper location by location; the mask decides to which instance a location belongs."""
    height, width = target.segments.shape[1:]
    locations = [
        (level, j * stride + stride // 2, i * stride + stride // 2)
        for level, ((h, w), stride) in enumerate(zip(_sizes(target), STRIDES, strict=True))
        for i in range(h)
        for j in range(w)
    ]
    classes = [BACKGROUND] * len(locations)
    for instance, (box, category) in enumerate(zip(target.boxes[0].tolist(), target.classes[0].tolist(), strict=True)):
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        candidates: list[int] = []
        for level in range(len(STRIDES)):
            on_level = [n for n, location in enumerate(locations) if location[0] == level]
            on_level.sort(key=lambda n: math.hypot(locations[n][1] - cx, locations[n][2] - cy))
            candidates += on_level[:k]
        ious = [_anchor_iou(box, *locations[n]) for n in candidates]
        threshold = statistics.mean(ious) + statistics.stdev(ious)
        for n, iou in zip(candidates, ious, strict=True):
            _, x, y = locations[n]
            inside = y < height and x < width and int(target.segments[0, y, x]) == S + instance
            if iou >= threshold and inside:
                classes[n] = category
    return classes


def _anchor_iou(box: list[float], level: int, x: int, y: int) -> float:
    half = 4 * STRIDES[level]
    w = max(0.0, min(box[2], x + half) - max(box[0], x - half))
    h = max(0.0, min(box[3], y + half) - max(box[1], y - half))
    return w * h / ((box[2] - box[0]) * (box[3] - box[1]) + (2 * half) ** 2 - w * h)


def _odd_rectangles(seed: int) -> Target:
    """Return boxes whose centres have no two locations at the same distance, so that the candidates are unambiguous."""
    generator = torch.Generator().manual_seed(seed)
    segments = torch.zeros(192, 320, dtype=torch.int16)
    for k in range(4):
        h, w = (int(torch.randint(12, side, (), generator=generator)) for side in (180, 76))
        y = int(torch.randint(0, 192 - h, (), generator=generator))
        segments[y : y + h, 80 * k + 1 : 80 * k + 1 + w] = S + k
        segments[y + h // 3 : y + h // 2, 80 * k + w // 2 : 80 * k + w] = 1  # Part of the box is not of the mask.
    target = make_target(segments, torch.arange(4), S)
    shift = torch.rand(4, 1, generator=generator) * 0.4 + 0.01
    target.boxes[0] += torch.cat((shift, shift * 0.7, shift, shift * 0.7), dim=1)
    return target


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [9, 4])
def test_atss_is_its_algorithm(seed: int, k: int) -> None:
    target = _odd_rectangles(seed)
    config = DetectionLossConfig(assignment="atss", atss_candidates=k)
    targets = detection_targets(target, _sizes(target), S, config)
    assert targets.classes[0].tolist() == literal_atss(target, k)
    assert targets.positive.sum() > 4


@pytest.mark.parametrize("assignment", ["center", "atss"])
def test_assignments_are_independent_of_the_other_images(assignment: Any) -> None:
    config = DetectionLossConfig(assignment=assignment)
    empty = make_target(torch.zeros(64, 64, dtype=torch.int16), torch.tensor([], dtype=torch.int64), S)
    target = stack_targets([_irregular(1), empty, _irregular(2)], 96, 160)
    targets = detection_targets(target, _sizes(target), S, config)
    for image, alone in ((0, _irregular(1)), (2, _irregular(2))):
        assert torch.equal(targets.classes[image], detection_targets(alone, _sizes(alone), S, config).classes[0])
    assert not targets.positive[1].any() and targets.positive[0].any()


# Losses.


def _outputs(target: Target, num_classes: int = NUM_CLASSES) -> RawOutputs:
    batch, sizes = len(target.segments), _sizes(target)
    return RawOutputs(
        class_logits=[(2 * torch.randn(batch, num_classes, *size) - 2).requires_grad_() for size in sizes],
        centerness=[torch.randn(batch, 1, *size).requires_grad_() for size in sizes],
        box_distances=[
            (torch.rand(batch, 4, *size) * 6 * stride + 1).requires_grad_()
            for size, stride in zip(sizes, STRIDES, strict=True)
        ],
        embedding=torch.zeros(batch, 4, 1, 1),
    )


def _flat(levels: list[Tensor]) -> Tensor:
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)


def _corners(distances: Tensor) -> Tensor:
    return torch.cat((-distances[:, :2], distances[:, 2:]), dim=1)


def test_giou_is_that_of_torchvision() -> None:
    target = stack_targets([_irregular(3), _irregular(4)], 96, 160)
    outputs = _outputs(target)
    targets = detection_targets(target, _sizes(target), S)
    positive = targets.positive
    predicted, true = _flat(outputs.box_distances)[positive], targets.distances[positive]
    weights = targets.centerness[positive]
    expected = (generalized_box_iou_loss(_corners(predicted), _corners(true)) * weights).sum() / weights.sum()
    found = detection_losses(outputs, target, MODEL, DetectionLossConfig(box_loss="giou"))["box"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(found, outputs.box_distances)
    for gradient, reference in zip(gradients, torch.autograd.grad(expected, outputs.box_distances), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("agnostic", [False, True])
def test_quality_focal_loss_is_its_formula(agnostic: bool) -> None:
    """GFL, Eq. 2, with beta 2: the target of the positive class is the IoU of the predicted box."""
    target = stack_targets([_irregular(5), _irregular(6)], 96, 160)
    model = (
        replace(MODEL, class_agnostic_detector=True, instance_category="embedding", memory_of_things="per_class")
        if agnostic
        else MODEL
    )
    outputs = _outputs(target, model.num_detector_classes)
    targets = detection_targets(target, _sizes(target), S)
    logits, predicted = _flat(outputs.class_logits).detach().double(), _flat(outputs.box_distances).detach()
    total = 0.0
    for image, location in targets.counts.nonzero().tolist():
        category = int(targets.classes[image, location])
        for c, logit in enumerate(logits[image, location].tolist()):
            y = 0.0
            if category >= 0 and (agnostic or c == category):
                y = _iou(predicted[image, location].tolist(), targets.distances[image, location].tolist())
            p = 1 / (1 + math.exp(-logit))
            total += -(abs(y - p) ** 2) * ((1 - y) * math.log(1 - p) + y * math.log(p))
    losses = detection_losses(outputs, target, model, DetectionLossConfig(class_loss="quality_focal"))
    assert float(losses["class"].detach()) == pytest.approx(total / int(targets.positive.sum()), rel=1e-5)
    # The IoU is a target: the class loss does not move the boxes.
    assert torch.autograd.grad(losses["class"], outputs.box_distances, allow_unused=True)[0] is None


def _iou(a: list[float], b: list[float]) -> float:
    shared = [min(pair) for pair in zip(a, b, strict=True)]
    areas = [(left + right) * (top + bottom) for left, top, right, bottom in (shared, a, b)]
    return areas[0] / (areas[1] + areas[2] - areas[0])


@pytest.mark.parametrize(
    "config",
    [
        DetectionLossConfig(box_loss="giou", class_loss="quality_focal", assignment="atss"),
        DetectionLossConfig(box_loss="giou", class_loss="quality_focal", assignment="center"),
    ],
)
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e9])
def test_impossible_boxes_have_finite_losses_and_gradients(config: DetectionLossConfig, distance: float) -> None:
    target = stack_targets([_irregular(7)], 96, 160)
    outputs = _outputs(target)
    boxes = [torch.full_like(level, distance).requires_grad_() for level in outputs.box_distances]
    losses = detection_losses(outputs._replace(box_distances=boxes), target, MODEL, config)
    leaves = [*outputs.class_logits, *outputs.centerness, *boxes]
    total = sum(losses.values(), torch.zeros(()))
    assert total.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(total, leaves))


# A model without centre-ness.


def _tiny(**options: Any) -> CIAE:
    torch.manual_seed(0)
    options = {"backbone": "timm/mobilenetv3_small_050", "fpn_channels": 32, "embedding_channels": 32} | options
    return CIAE(ModelConfig(num_stuff_classes=S, num_thing_classes=NUM_CLASSES, **options))


def test_without_the_branch_scores_are_class_probabilities_and_nothing_learns_centerness() -> None:
    model = _tiny(centerness_branch=False).eval()
    with torch.inference_mode():
        outputs = model(torch.randn(1, 3, 64, 96))
    best = max(float(level.max()) for level in outputs.class_logits)
    scores = select_candidates(outputs, 100).scores
    assert float(scores.max()) == pytest.approx(math.sqrt(1 / (1 + math.exp(-best))), rel=1e-6)
    assert not any("centerness" in name for name, _ in model.named_parameters())
    target = _irregular(8, 64, 96)
    losses = detection_losses(_outputs(target), target, model.config)
    assert losses.keys() == {"class", "box"}


# The auxiliary semantics.


def test_auxiliary_semantics_are_a_cross_entropy_over_all_categories() -> None:
    target = stack_targets([_irregular(9), _irregular(10)], 96, 160)
    torch.manual_seed(1)
    logits = torch.randn(2, S + NUM_CLASSES, 24, 40, dtype=torch.float64)
    total, count = 0.0, 0
    for b in range(2):
        for i in range(24):
            for j in range(40):
                segment = int(target.segments[b, 4 * i + 2, 4 * j + 2])
                if segment in (VOID, CROWD):
                    continue
                category = segment if segment < S else S + int(target.classes[b][segment - S])
                total -= float(logits[b, :, i, j].log_softmax(0)[category])
                count += 1
    assert float(auxiliary_semantic_loss(logits, target, S)) == pytest.approx(total / count, rel=1e-5)


def test_auxiliary_semantics_exist_in_training_only() -> None:
    model = _tiny(auxiliary_semantics=True)
    images = torch.randn(2, 3, 64, 96)
    assert model.train()(images).auxiliary_logits.shape == (2, S + NUM_CLASSES, 16, 24)
    assert model.eval()(images).auxiliary_logits is None
    assert _tiny().train()(images).auxiliary_logits is None


# Configuration.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assignment": "hungarian"}, "assignment must be one of levels, center, atss"),
        ({"box_loss": "l1"}, "box_loss must be one of iou, giou"),
        ({"class_loss": "ce"}, "class_loss must be one of focal, quality_focal"),
        ({"center_radius": 0.0}, "center_radius must be above 0"),
        ({"atss_candidates": 1}, "atss_candidates must be at least 2"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectionLossConfig(**options)
