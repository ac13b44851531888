# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Augmentation transforms image and segments consistently, and derived values are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference.geometry import image_geometry
from training.data.augmentation import Augmentation, augment
from training.data.sample import CROWD, VOID, read_sample
from training.data.target import make_target

MEAN = (123.675, 116.28, 103.53)
NUM_STUFF = 3
UNCHANGED = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0)
"""An augmentation for images of 60 x 80 pixels."""


def _scene() -> tuple[Tensor, Tensor, Tensor]:
    """An image (3, 60, 80) of noise, its segments and the classes: stuff, void, a crowd, seven instances."""
    image = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    segments = torch.randint(0, NUM_STUFF, (6, 8), dtype=torch.int16)
    segments = segments.repeat_interleave(10, 0).repeat_interleave(10, 1)
    segments[:6, 70:], segments[50:, :9] = VOID, CROWD
    for k in range(6):
        segments[4 + 9 * k : 12 + 9 * k, 12 * k : 12 * k + 7] = NUM_STUFF + k
    segments[20:24, 60:75] = segments[30:33, 5:9] = NUM_STUFF + 6  # In two parts.
    return image, segments, torch.tensor([5, 0, 3, 3, 1, 7, 2])


def _augmented(config: Augmentation, image: Tensor, segments: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    return augment(config.build(MEAN), image, segments, seed)


AUGMENTATIONS = {
    "resized up": Augmentation(shorter_side=(100, 130), longer_side=160),
    "resized down": Augmentation(shorter_side=(32, 50), longer_side=70),
    "cropped": Augmentation(shorter_side=(60, 90), longer_side=120, crop=(40, 48)),
    "cropped and padded": Augmentation(shorter_side=(32, 64), longer_side=100, crop=(64, 64)),
    "large-scale jitter": Augmentation(large_scale_jitter=(0.1, 2.0), crop=(64, 96)),
    "colours": Augmentation(shorter_side=(60, 60), longer_side=80, color=True),
}


def test_defaults_are_the_papers() -> None:
    """Sec. V-C: the shorter side is resized to 800. RetinaNet's settings otherwise: 1333, flips, nothing else."""
    assert Augmentation() == Augmentation((800, 800), 1333, None, None, 0.5, False)


@pytest.mark.parametrize(("shorter", "longer"), [(800, 1333), (640, 1066), (512, 853), (100, 110)])
@pytest.mark.parametrize(
    "size", [(480, 640), (640, 480), (427, 640), (640, 426), (640, 640), (218, 640), (640, 311), (375, 500), (50, 900)]
)
def test_resizing_obeys_the_shorter_side_and_the_bound_on_the_longer(
    size: tuple[int, int], shorter: int, longer: int
) -> None:
    config = Augmentation(shorter_side=(shorter, shorter), longer_side=longer, flip=0.0)
    image, segments = _augmented(config, torch.zeros(3, *size, dtype=torch.uint8), torch.zeros(size, dtype=torch.int16))
    height, width = segments.shape
    assert image.shape == (3, height, width)
    assert max(height, width) <= longer
    scale = min(shorter / min(size), longer / max(size))
    assert abs(height - size[0] * scale) <= 1
    assert abs(width - size[1] * scale) <= 1


@pytest.mark.parametrize("shorter", [512, 640, 800])
def test_resizing_is_that_of_inference(data: Path, shorter: int) -> None:
    """A model is trained on images of its input size."""
    longer = round(shorter * 5 / 3)
    config = Augmentation(shorter_side=(shorter, shorter), longer_side=longer, flip=0.0)
    path = data / "coco_panoptic_mini" / "annotations" / "panoptic_train2017.json"
    sizes = {(entry["height"], entry["width"]) for entry in PanopticAnnotations.load(path).images.values()}
    different = {}
    for size in sorted(sizes):
        resized = _augmented(config, torch.zeros(3, *size, dtype=torch.uint8), torch.zeros(size, dtype=torch.int16))[1]
        expected = image_geometry(*size, shorter, longer).resized
        if tuple(resized.shape) != expected:
            different[size] = tuple(resized.shape), expected
    assert not different


def test_sides_are_drawn_from_the_whole_range() -> None:
    config = Augmentation(shorter_side=(60, 69), longer_side=500, flip=0.0)
    transform = config.build(MEAN)
    image, segments, _ = _scene()
    sides = [min(augment(transform, image, segments, seed)[1].shape) for seed in range(150)]
    assert set(sides) == set(range(60, 70))


def test_flips_mirror_image_and_segments() -> None:
    image, segments, _ = _scene()
    for probability, expected in ((0.0, (image, segments)), (1.0, (image.flip(2), segments.flip(1)))):
        config = Augmentation(shorter_side=(60, 60), longer_side=80, flip=probability)
        for seed in range(5):
            result = _augmented(config, image, segments, seed)
            assert torch.equal(result[0], expected[0])
            assert torch.equal(result[1], expected[1])


def test_half_of_the_images_are_flipped() -> None:
    image, segments, _ = _scene()
    config = Augmentation(shorter_side=(60, 60), longer_side=80)
    flipped = sum(torch.equal(_augmented(config, image, segments, seed)[1], segments.flip(1)) for seed in range(200))
    assert 70 < flipped < 130  # 4 standard deviations.


def test_a_crop_is_a_window_of_the_image() -> None:
    image, segments, _ = _scene()
    config = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0, crop=(40, 30))
    corners = set()
    for seed in range(20):
        cropped, cropped_segments = _augmented(config, image, segments, seed)
        corner = [
            (y, x)
            for y in range(21)
            for x in range(51)
            if torch.equal(image[:, y : y + 40, x : x + 30], cropped)
            and torch.equal(segments[y : y + 40, x : x + 30], cropped_segments)
        ]
        assert len(corner) == 1
        corners.add(corner[0])
    assert len(corners) > 10
    assert max(x for _, x in corners) > 35 and min(x for _, x in corners) < 15


def test_padding_of_a_small_image_is_void_and_of_the_mean_colour() -> None:
    image, segments, _ = _scene()
    config = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0, crop=(100, 90))
    for seed in range(10):
        padded, padded_segments = _augmented(config, image, segments, seed)
        assert padded_segments.shape == (100, 90)
        (corner,) = (
            (y, x) for y in range(41) for x in range(11) if torch.equal(image, padded[:, y : y + 60, x : x + 80])
        )
        inside = torch.zeros(100, 90, dtype=torch.bool)
        inside[corner[0] : corner[0] + 60, corner[1] : corner[1] + 80] = True
        assert torch.equal(padded_segments[inside].view(60, 80), segments)
        assert (padded_segments[~inside] == VOID).all()
        assert (padded[:, ~inside] == torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None]).all()


@pytest.mark.parametrize(("factor", "size"), [(0.5, (30, 40)), (0.25, (15, 20)), (1.0, (60, 80))])
def test_large_scale_jitter_scales_what_fits_into_the_crop(factor: float, size: tuple[int, int]) -> None:
    """60 x 80 fits into 120 x 80 unchanged."""
    image, segments, _ = _scene()
    segments = segments.clamp(min=0)
    config = Augmentation(large_scale_jitter=(factor, factor), crop=(120, 80), flip=0.0)
    ys, xs = torch.nonzero(_augmented(config, image, segments)[1] >= 0, as_tuple=True)
    assert (int(ys.max() - ys.min()) + 1, int(xs.max() - xs.min()) + 1) == size


def test_large_scale_jitter_draws_from_its_range() -> None:
    image, segments, _ = _scene()
    config = Augmentation(large_scale_jitter=(0.1, 2.0), crop=(60, 80), flip=0.0)
    transform = config.build(MEAN)
    ones = torch.ones_like(segments)
    area = [int((augment(transform, image, ones, seed)[1] == 1).sum()) for seed in range(100)]
    scales = np.sqrt(np.array(area) / (60 * 80))
    assert 0.05 < scales.min() < 0.25
    assert 0.3 < (scales > 0.99).mean() < 0.75  # 53 % of the range is above 1, where the crop is full.


@pytest.mark.parametrize("config", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_boxes_and_classes_are_those_of_the_remaining_pixels(config: Augmentation) -> None:
    image, segments, classes = _scene()
    removed = 0
    for seed in range(12):
        _, moved = _augmented(config, image, segments, seed)
        target = make_target(moved, classes, NUM_STUFF)
        assert target.segments.dtype == torch.int16
        remaining = [k for k in range(len(classes)) if (moved == NUM_STUFF + k).any()]
        removed += len(classes) - len(remaining)
        assert target.classes[0].tolist() == [int(classes[k]) for k in remaining]
        for row, k in enumerate(remaining):
            mask = moved == NUM_STUFF + k
            assert torch.equal(target.segments[0] == NUM_STUFF + row, mask)
            assert target.boxes[0][row].tolist() == _box_literally(mask)
        others = moved < NUM_STUFF
        assert torch.equal(target.segments[0][others], moved[others])
        assert target.boxes[0].shape == (len(remaining), 4) and target.boxes[0].dtype == torch.float32
    if config.large_scale_jitter or config.crop == (40, 48):
        assert removed > 0


def _box_literally(mask: Tensor) -> list[float]:
    xs, ys = [], []
    for y, row in enumerate(mask.tolist()):
        for x, inside in enumerate(row):
            if inside:
                xs.append(x)
                ys.append(y)
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def test_a_crop_that_leaves_no_instance_gives_an_empty_target() -> None:
    segments = torch.zeros(60, 80, dtype=torch.int16)
    target = make_target(segments, torch.tensor([4, 2]), NUM_STUFF)
    assert target.classes[0].shape == (0,) and target.classes[0].dtype == torch.int64
    assert target.boxes[0].shape == (0, 4)
    assert torch.equal(target.segments[0], segments)


def test_make_target_does_not_change_what_it_is_given() -> None:
    _, segments, classes = _scene()
    segments[segments == NUM_STUFF] = 0  # Instance 0 is gone, the others move up.
    before = segments.clone()
    make_target(segments, classes, NUM_STUFF)
    assert torch.equal(segments, before)


@pytest.mark.parametrize("config", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_segments_keep_their_values(config: Augmentation) -> None:
    image, segments, _ = _scene()
    before = set(segments.unique().tolist())
    for seed in range(12):
        moved = _augmented(config, image, segments, seed)[1]
        assert moved.dtype == torch.int16
        assert set(moved.unique().tolist()) <= before | {VOID}


PALETTE = torch.tensor([[37 * i % 200 + 28, 59 * i % 200 + 28, 83 * i % 200 + 28] for i in range(20)])


@pytest.mark.parametrize(
    "config", [c for c in AUGMENTATIONS.values() if not c.color], ids=[n for n in AUGMENTATIONS if n != "colours"]
)
def test_image_and_segments_stay_aligned(config: Augmentation) -> None:
    """An image coloured by its segments still agrees with them after augmentation, except at boundaries."""
    _, segments, _ = _scene()
    checked = 0
    for seed in range(12):
        checked += _interior_pixels_that_agree(config, segments, seed)
    assert checked > 1500


def test_real_image_stays_aligned(data: Path) -> None:
    root = data / "coco_panoptic_mini"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_val2017.json")
    segments = read_sample(annotations, root / "val2017", 5586).segments
    compact = torch.unique(segments, return_inverse=True)[1].to(torch.int16) - 2
    for config in (Augmentation((200, 300), 400), Augmentation(large_scale_jitter=(0.5, 2.0), crop=(160, 160))):
        assert sum(_interior_pixels_that_agree(config, compact, seed) for seed in range(3)) > 20_000


def _interior_pixels_that_agree(config: Augmentation, segments: Tensor, seed: int) -> int:
    image = PALETTE[segments.long() + 2].permute(2, 0, 1).to(torch.uint8).contiguous()
    moved_image, moved = _augmented(config, image, segments, seed)
    interior = _interior(moved) & (moved != VOID)  # Padding is void, but of the mean colour.
    expected = PALETTE[moved.long() + 2].permute(2, 0, 1)
    assert ((moved_image.long() - expected).abs()[:, interior] <= 1).all()
    return int(interior.sum())


def _interior(segments: Tensor) -> Tensor:
    """Return the pixels whose 7 x 7 neighbours belong to the same segment."""
    values = segments.numpy().astype(np.float32)
    kernel = np.ones((7, 7), np.uint8)
    interior = torch.zeros(segments.shape, dtype=torch.bool)
    interior[3:-3, 3:-3] = torch.from_numpy(cv2.erode(values, kernel) == cv2.dilate(values, kernel))[3:-3, 3:-3]
    return interior


@pytest.mark.parametrize("axis", ["vertical", "horizontal"])
@pytest.mark.parametrize(("size", "shorter"), [((427, 640), 800), ((480, 640), 640), ((480, 640), 160)])
def test_boundaries_of_segments_lie_where_those_of_the_image_do(size: tuple[int, int], shorter: int, axis: str) -> None:
    """The mean offset is below a fifth of a pixel, because a constant offset of the segments would be learned."""
    along = torch.arange(size[0])[:, None] if axis == "vertical" else torch.arange(size[1])[None]
    segments = (along // 17 % 2).expand(size).to(torch.int16).contiguous()
    image = (segments * 255).to(torch.uint8).expand(3, -1, -1).contiguous()
    config = Augmentation(shorter_side=(shorter, shorter), longer_side=1333, flip=0.0)
    resized, moved = _augmented(config, image, segments)
    bright, line = (resized[0] > 127, moved) if axis == "horizontal" else (resized[0].T > 127, moved.T)
    of_image, of_segments = (torch.nonzero(values[9].int().diff()).flatten().float() for values in (bright, line))
    assert len(of_image) == len(of_segments) > 20
    assert abs(float((of_segments - of_image).mean())) < 0.2


@pytest.mark.parametrize("config", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_the_seed_alone_decides(config: Augmentation) -> None:
    image, segments, _ = _scene()
    first = _augmented(config, image, segments, 7)
    torch.manual_seed(99)
    torch.rand(5)
    again = _augmented(config, image, segments, 7)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    others = [_augmented(config, image, segments, seed)[0] for seed in range(20)]
    assert any(other.shape != first[0].shape or not torch.equal(other, first[0]) for other in others)


def test_the_callers_random_numbers_are_left_alone() -> None:
    image, segments, _ = _scene()
    before = torch.get_rng_state()
    _augmented(AUGMENTATIONS["colours"], image, segments, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_colours_change_the_image_alone() -> None:
    image, segments, _ = _scene()
    config = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0, color=True)
    results = [_augmented(config, image, segments, seed) for seed in range(10)]
    assert sum(not torch.equal(moved, image) for moved, _ in results) > 3
    assert all(torch.equal(moved, segments) for _, moved in results)


def test_nothing_is_changed_by_nothing() -> None:
    image, segments, _ = _scene()
    same = _augmented(UNCHANGED, image, segments)
    assert torch.equal(same[0], image) and torch.equal(same[1], segments)
    assert type(same[0]) is Tensor and type(same[1]) is Tensor


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"shorter_side": (800, 640)}, "shorter_side"),
        ({"shorter_side": (16, 64)}, "shorter_side"),
        ({"shorter_side": (800, 800), "longer_side": 700}, "longer_side"),
        ({"large_scale_jitter": (0.1, 2.0)}, "crop"),
        ({"flip": 1.5}, "flip"),
        ({"flip": -0.1}, "flip"),
        ({"large_scale_jitter": (-0.1, 2.0), "crop": (64, 64)}, "large_scale_jitter"),
        ({"large_scale_jitter": (0.0, 2.0), "crop": (64, 64)}, "large_scale_jitter"),
        ({"crop": (0, 64)}, "crop"),
    ],
)
def test_refuses_impossible_values(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Augmentation(**wrong)
