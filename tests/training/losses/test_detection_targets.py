# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The detector's targets and losses against their definitions, location by location."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.model import ModelConfig, RawOutputs
from training.data.augmentation import Augmentation, augment
from training.data.sample import CROWD, VOID, read_sample
from training.data.target import Target, make_target, stack_targets
from training.losses import detection_loss
from training.losses.detection_config import PAPER
from training.losses.detection_loss import detection_losses
from training.losses.detection_targets import BACKGROUND, DetectionTargets, detection_targets

STRIDES = (8, 16, 32, 64, 128)
RANGES = ((0, 64), (64, 128), (128, 256), (256, 512), (512, math.inf))
S = 3
NUM_CLASSES = 4
MODEL = ModelConfig(num_stuff_classes=S, num_thing_classes=NUM_CLASSES)
AGNOSTIC = replace(MODEL, class_agnostic_detector=True, instance_category="embedding", memory_of_things="per_class")


def _sizes(target: Target) -> list[tuple[int, int]]:
    """Sizes of P3 to P7."""
    height, width = target.segments.shape[1:]
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]


Literal = list[list[tuple[int | None, list[float], bool]]]
"""Return for each image and location: thing class or None, distances (left, top, right, bottom), whether it counts."""


def literal_targets(target: Target, num_stuff: int) -> Literal:
    """As FCOS, except that a location must be inside the instance's mask (Sec. IV-A)."""
    height, width = target.segments.shape[1:]
    images: Literal = []
    for b in range(len(target.segments)):
        segments = target.segments[b].tolist()
        rows = []
        for (h, w), stride, (low, high) in zip(_sizes(target), STRIDES, RANGES, strict=True):
            for i in range(h):
                for j in range(w):
                    x, y = j * stride + stride // 2, i * stride + stride // 2
                    segment = segments[y][x] if y < height and x < width else VOID
                    category, distances = None, [0.0] * 4
                    if segment >= num_stuff:
                        x1, y1, x2, y2 = target.boxes[b][segment - num_stuff].tolist()
                        distances = [x - x1, y - y1, x2 - x, y2 - y]
                        if low < max(distances) <= high:
                            category = int(target.classes[b][segment - num_stuff])
                    rows.append((category, distances, segment != CROWD))
        images.append(rows)
    return images


def _assert_equal(targets: DetectionTargets, expected: Literal) -> int:
    """Compare the targets; returns the number of positive locations."""
    positives = 0
    for b, rows in enumerate(expected):
        assert targets.classes[b].tolist() == [BACKGROUND if row[0] is None else row[0] for row in rows]
        assert targets.counts[b].tolist() == [row[2] for row in rows]
        assert targets.positive[b].tolist() == [row[0] is not None for row in rows]
        for location, (category, distances, _) in enumerate(rows):
            if category is not None:
                positives += 1
                left, top, right, bottom = distances
                assert targets.distances[b, location].tolist() == distances
                centerness = math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))
                assert float(targets.centerness[b, location]) == pytest.approx(centerness, abs=1e-6)
    return positives


def _random_target(height: int, width: int, instances: int) -> Target:
    """Irregular overlapping instances of all sizes, stuff, void and a crowd."""
    segments = torch.randint(-1, S, (height, width), dtype=torch.int16)
    for k in range(instances):
        h, w = (int(torch.randint(2, side, ())) for side in (height, width))
        y, x = int(torch.randint(0, height - h + 1, ())), int(torch.randint(0, width - w + 1, ()))
        segments[y : y + h, x : x + w][torch.rand(h, w) < 0.7] = S + k
    segments[: height // 3, : width // 4] = CROWD
    return make_target(segments, torch.randint(0, NUM_CLASSES, (instances,)), S)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("height", "width"), [(96, 160), (32, 64), (352, 640)])
def test_random_masks(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    target = stack_targets([_random_target(height, width, n) for n in (9, 2)], height, width)
    assert _assert_equal(detection_targets(target, _sizes(target), S), literal_targets(target, S)) > 5


def test_large_masks_reach_all_levels() -> None:
    height, width = 640, 1120
    segments = torch.zeros(height, width, dtype=torch.int16)
    for k, side in enumerate((1120, 500, 250, 100, 40)):
        segments[-side:, :side] = S + k  # The box of the first is the whole image.
    target = make_target(segments, torch.arange(5) % NUM_CLASSES, S)
    targets = detection_targets(target, _sizes(target), S)
    _assert_equal(targets, literal_targets(target, S))
    per_level = targets.positive[0].split([h * w for h, w in _sizes(target)])
    assert all(level.any() for level in per_level)


def test_real_masks(data: Path) -> None:
    root = data / "coco_panoptic_mini"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_train2017.json")
    transform = Augmentation(shorter_side=(224, 224), longer_side=400).build((0.0, 0.0, 0.0))
    targets = []
    for image_id in (357, 315, 250, 61):  # A crowd, two of them, no thing, no stuff.
        sample = read_sample(annotations, root / "train2017", image_id)
        _, segments = augment(transform, sample.image, sample.segments, 0)
        targets.append(make_target(segments, sample.classes, 53))
    target = stack_targets(targets, 256, 416)
    found = detection_targets(target, _sizes(target), 53)
    assert _assert_equal(found, literal_targets(target, 53)) > 100
    assert not found.counts[:2].all(dim=1).any() and found.counts[2:].all()
    assert not found.positive[2].any()


@pytest.mark.parametrize(("right", "level"), [(64, 0), (65, None), (128, None)])
def test_ranges_include_their_upper_bound(right: int, level: int | None) -> None:
    """The location (4, 4) of P3 alone lies in the mask: the longest distance, to the right, decides."""
    segments = torch.zeros(32, 160, dtype=torch.int16)
    segments[4, 4], segments[5, 4 + right - 1] = S, S
    target = make_target(segments, torch.tensor([2]), S)
    positive = detection_targets(target, _sizes(target), S).positive[0]
    assert positive.nonzero().flatten().tolist() == ([] if level is None else [0])


def test_a_location_inside_the_box_but_not_in_the_mask_is_background() -> None:
    segments = torch.zeros(64, 64, dtype=torch.int16)
    segments[:48, :48] = S
    segments[8:40, 8:40] = 1  # A hole.
    target = make_target(segments, torch.tensor([3]), S)
    classes = detection_targets(target, _sizes(target), S).classes[0][:64].view(8, 8)
    expected = torch.full((8, 8), BACKGROUND)
    expected[:6, :6] = 3
    expected[1:5, 1:5] = BACKGROUND
    assert torch.equal(classes, expected)


def test_void_counts_unless_it_is_ignored() -> None:
    segments = torch.full((64, 64), VOID, dtype=torch.int16)
    segments[:32] = S
    segments[32:40, :32] = CROWD
    target = make_target(segments, torch.tensor([3]), S)
    for config, counted in ((PAPER, 1), (replace(PAPER, ignore_void=True), 0)):
        counts = detection_targets(target, _sizes(target), S, config).counts[0][:64].view(8, 8).int()
        assert counts[:4].all()
        assert counts[4].tolist() == [0] * 4 + [counted] * 4
        assert (counts[5:] == counted).all()


def test_locations_beyond_the_image_are_background() -> None:
    segments = torch.full((32, 32), S, dtype=torch.int16)
    target = make_target(segments, torch.tensor([0]), S)
    targets = detection_targets(target, _sizes(target), S)
    assert targets.classes[0].tolist() == [0] * 16 + [BACKGROUND] * (4 + 1 + 1 + 1)
    assert targets.counts.all()


def test_images_without_instances_are_background() -> None:
    segments = torch.randint(-1, S, (64, 96), dtype=torch.int16)
    target = make_target(segments, torch.tensor([], dtype=torch.int64), S)
    targets = detection_targets(target, _sizes(target), S)
    assert not targets.positive.any() and targets.counts.all()
    assert targets.distances.shape == (1, targets.classes.shape[1], 4) and targets.centerness.isfinite().all()


# Losses.


def _outputs(target: Target, num_classes: int = NUM_CLASSES) -> RawOutputs:
    B, sizes = len(target.segments), _sizes(target)
    return RawOutputs(
        class_logits=[(2 * torch.randn(B, num_classes, *size) - 2).requires_grad_() for size in sizes],
        centerness=[torch.randn(B, 1, *size).requires_grad_() for size in sizes],
        box_distances=[
            (torch.rand(B, 4, *size) * 6 * stride + 1).requires_grad_()
            for size, stride in zip(sizes, STRIDES, strict=True)
        ],
        embedding=torch.zeros(B, 4, 1, 1),
    )


def literal_losses(outputs: RawOutputs, target: Target, agnostic: bool = False) -> dict[str, float]:
    """Sums over the locations, normalised as in FCOS."""
    focal = iou = bce = weights = 0.0
    positives = 0
    for b, rows in enumerate(literal_targets(target, S)):
        logits, centerness, boxes = (
            [v for level in levels for v in level[b].detach().double().flatten(1).T.tolist()]
            for levels in (outputs.class_logits, outputs.centerness, outputs.box_distances)
        )
        for location, (category, distances, counts) in enumerate(rows):
            if counts:
                for c, logit in enumerate(logits[location]):
                    p = 1 / (1 + math.exp(-logit))
                    if category is not None and (agnostic or c == category):
                        focal += -0.25 * (1 - p) ** 2 * math.log(p)
                    else:
                        focal += -0.75 * p**2 * math.log(1 - p)
            if category is not None:
                left, top, right, bottom = distances
                t = math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))
                p = 1 / (1 + math.exp(-centerness[location][0]))
                bce += -t * math.log(p) - (1 - t) * math.log(1 - p)
                iou += -t * math.log(_iou_of_boxes(distances, boxes[location]))
                weights += t
                positives += 1
    return {
        "class": focal / max(positives, 1),
        "box": iou / max(weights, 1e-6),
        "centerness": bce / max(positives, 1),
    }


def _iou_of_boxes(a: list[float], b: list[float]) -> float:
    """Return the IoU of boxes around (0, 0) by their corners."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = ((-d[0], -d[1], d[2], d[3]) for d in (a, b))
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    shared = max(width, 0) * max(height, 0)
    return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)


def _target() -> Target:
    torch.manual_seed(3)
    return stack_targets([_random_target(96, 160, n) for n in (6, 2)], 96, 160)


@pytest.mark.parametrize("agnostic", [False, True])
def test_losses_equal_a_literal_loop(agnostic: bool) -> None:
    target = _target()
    outputs = _outputs(target, 1 if agnostic else NUM_CLASSES)
    losses = detection_losses(outputs, target, AGNOSTIC if agnostic else MODEL)
    expected = literal_losses(outputs, target, agnostic)
    assert {name: float(value.detach()) for name, value in losses.items()} == pytest.approx(expected, rel=1e-5)
    assert min(expected.values()) > 0.1


def _gradients(outputs: RawOutputs, target: Target) -> list[Tensor]:
    leaves = [*outputs.class_logits, *outputs.centerness, *outputs.box_distances]
    return list(torch.autograd.grad(sum(detection_losses(outputs, target, MODEL).values()), leaves))


def test_gradients_reach_positive_locations() -> None:
    target = _target()
    outputs = _outputs(target)
    gradients = _gradients(outputs, target)
    assert all(gradient.isfinite().all() for gradient in gradients)
    of_class, of_centerness, of_boxes = (
        torch.cat([g.flatten(2) for g in gradients[5 * part : 5 * part + 5]], dim=2) for part in range(3)
    )
    targets = detection_targets(target, _sizes(target), S)
    assert torch.equal((of_class != 0).all(dim=1), targets.counts)
    assert torch.equal((of_class != 0).any(dim=1), targets.counts)
    assert torch.equal((of_centerness != 0)[:, 0], targets.positive)
    weighted = targets.positive & (targets.centerness > 0)
    assert torch.equal((of_boxes != 0).any(dim=1), weighted)


def test_gradient_makes_boxes_better() -> None:
    target = _target()
    outputs = _outputs(target)
    before = detection_losses(outputs, target, MODEL)["box"]
    gradients = torch.autograd.grad(before, outputs.box_distances)
    with torch.no_grad():
        for distances, gradient in zip(outputs.box_distances, gradients, strict=True):
            distances.sub_(200 * gradient)
    assert detection_losses(outputs, target, MODEL)["box"] < before - 1e-3


def test_no_positive_location() -> None:
    segments = torch.randint(-1, S, (2, 64, 96), dtype=torch.int16)
    empty = torch.tensor([], dtype=torch.int64)
    target = stack_targets([make_target(s, empty, S) for s in segments], 64, 96)
    outputs = _outputs(target)
    losses = detection_losses(outputs, target, MODEL)
    assert losses["box"] == 0 and losses["centerness"] == 0
    assert losses["class"].item() == pytest.approx(literal_losses(outputs, target)["class"], rel=1e-5)
    gradients = _gradients(outputs, target)  # An output without any would stall processes that train together.
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not any(gradient.any() for gradient in gradients[5:])


def test_crowd_alone_costs_nothing() -> None:
    segments = torch.full((64, 128), CROWD, dtype=torch.int16)
    target = make_target(segments, torch.tensor([], dtype=torch.int64), S)
    outputs = _outputs(target)
    inside = 8 * 16 + 4 * 8 + 2 * 4 + 1 * 2  # Locations of P3 to P6; that of P7, at (64, 64), lies beyond the image.
    assert _sizes(target)[-1] == (1, 1)
    gradient = torch.cat([g.flatten(2) for g in _gradients(outputs, target)[:5]], dim=2)
    assert not gradient[..., :inside].any() and gradient[..., inside:].all()


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e9])
def test_impossible_boxes_have_finite_losses_and_gradients(distance: float) -> None:
    target = _target()
    outputs = _outputs(target)
    boxes = [torch.full_like(level, distance).requires_grad_() for level in outputs.box_distances]
    outputs = outputs._replace(box_distances=boxes)
    assert all(loss.isfinite() for loss in detection_losses(outputs, target, MODEL).values())
    assert all(gradient.isfinite().all() for gradient in _gradients(outputs, target))


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_certain_logits_have_finite_losses_and_gradients(logit: float) -> None:
    target = _target()
    outputs = _outputs(target)
    outputs = outputs._replace(
        class_logits=[torch.full_like(level, logit).requires_grad_() for level in outputs.class_logits],
        centerness=[torch.full_like(level, -logit).requires_grad_() for level in outputs.centerness],
    )
    assert all(loss.isfinite() for loss in detection_losses(outputs, target, MODEL).values())
    assert all(gradient.isfinite().all() for gradient in _gradients(outputs, target))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outputs_of_half_precision_have_losses_in_float32(dtype: torch.dtype) -> None:
    target = _target()
    outputs = _outputs(target)
    half = RawOutputs(*([level.to(dtype) for level in levels] for levels in outputs[:3]), outputs.embedding)
    for (name, loss), exact in zip(
        detection_losses(half, target, MODEL).items(), detection_losses(outputs, target, MODEL).values(), strict=True
    ):
        assert loss.dtype == torch.float32, name
        torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)


def test_losses_are_divided_by_the_means_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has 30 positive locations with a total centre-ness of 7."""
    target = _target()
    outputs = _outputs(target)
    alone = detection_losses(outputs, target, MODEL)
    targets = detection_targets(target, _sizes(target), S)
    positives, centerness = targets.positive.sum(), targets.centerness[targets.positive].sum()
    monkeypatch.setattr(detection_loss, "mean_over_ranks", lambda own: (own + torch.tensor([30.0, 7.0])) / 2)
    together = detection_losses(outputs, target, MODEL)
    torch.testing.assert_close(together["class"], alone["class"] * positives / ((positives + 30) / 2))
    torch.testing.assert_close(together["centerness"], alone["centerness"] * positives / ((positives + 30) / 2))
    torch.testing.assert_close(together["box"], alone["box"] * centerness / ((centerness + 7) / 2))
