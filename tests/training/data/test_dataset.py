# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Content of batches, which is determined by the seed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference.geometry import image_geometry
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.model import PRESETS
from tests.training.synthetic import scene, write_split
from training.data.augmentation import Augmentation
from training.data.dataset import (
    Batch,
    BatchSampler,
    Draw,
    Item,
    PanopticDataset,
    collate,
    load_batches,
    normalized,
)
from training.data.sample import VOID, DataError, read_sample
from training.data.target import make_target

MEAN = (127.0, 127.0, 127.0)
PLAIN = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0)
RANDOM = Augmentation(shorter_side=(40, 70), longer_side=90)


def _data_set(
    root: Path, wide: int = 8, high: int = 4, augmentation: Augmentation = PLAIN, skip_unreadable: bool = False
) -> PanopticDataset:
    """Images 1, 2, ... of 60 x 80 pixels, the first ones in landscape, the others in portrait format."""
    scenes = {number: scene(number % 8) for number in range(1, 1 + wide + high)}
    for number in range(1 + wide, 1 + wide + high):
        ids, infos = scenes[number]
        scenes[number] = ids.T.copy(), infos
    return PanopticDataset(write_split(root, scenes), root / "tiny", augmentation.build(MEAN), skip_unreadable)


def _first_batches(dataset: PanopticDataset, count: int, batch_size: int = 4, **where: int) -> list[list[Draw]]:
    return list(islice(BatchSampler(dataset, batch_size, **({"seed": 5} | where)), count))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PanopticDataset:
    return _data_set(tmp_path_factory.mktemp("data"))


def test_each_image_comes_once_in_an_epoch(dataset: PanopticDataset) -> None:
    batches = _first_batches(dataset, 9)  # Three epochs: 8 wide images and 4 high ones fill three batches.
    orders = []
    for epoch in range(3):
        positions = [draw.position for batch in batches[3 * epoch : 3 * epoch + 3] for draw in batch]
        assert sorted(positions) == list(range(12))
        orders.append(positions)
    assert orders[0] != orders[1] != orders[2]


def test_images_that_fill_no_batch_wait_for_the_next_epoch(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, wide=7, high=2)
    times = Counter(draw.position for batch in _first_batches(dataset, 90) for draw in batch)
    assert sum(times.values()) == 360
    assert max(times.values()) - min(times.values()) <= 2


def test_wide_and_high_images_are_never_mixed(dataset: PanopticDataset) -> None:
    batches = _first_batches(dataset, 30, batch_size=3)
    kinds = [{dataset.is_wide(draw.position) for draw in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds)
    assert {True} in kinds and {False} in kinds
    assert [dataset.is_wide(position) for position in range(12)] == [True] * 8 + [False] * 4


@pytest.mark.parametrize("first", [1, 2, 3, 7, 20])
def test_starting_at_a_batch_is_skipping_those_before(dataset: PanopticDataset, first: int) -> None:
    assert _first_batches(dataset, 6, first=first) == _first_batches(dataset, first + 6)[first:]


def test_ranks_share_the_batches_without_overlap(dataset: PanopticDataset) -> None:
    whole = _first_batches(dataset, 6)
    halves = [_first_batches(dataset, 6, rank=rank, ranks=2) for rank in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert len(first) == len(second) == 2
        assert not set(first) & set(second)
        assert set(first) | set(second) == set(batch)
    quarters = [_first_batches(dataset, 6, rank=rank, ranks=4, first=2) for rank in range(4)]
    for batch, parts in zip(_first_batches(dataset, 8)[2:], zip(*quarters, strict=True), strict=True):
        assert sorted(draw for part in parts for draw in part) == sorted(batch)


def test_the_seed_decides_upon_order_and_augmentation(dataset: PanopticDataset) -> None:
    first = _first_batches(dataset, 6)
    torch.manual_seed(1)
    assert _first_batches(dataset, 6) == first
    other = _first_batches(dataset, 6, seed=6)
    assert [[d.position for d in batch] for batch in other] != [[d.position for d in batch] for batch in first]
    seeds = [draw.seed for batch in _first_batches(dataset, 60) for draw in batch]
    assert len(set(seeds)) == len(seeds)  # An image is augmented differently in each epoch.


def test_a_batch_that_cannot_be_shared_out_is_refused(dataset: PanopticDataset) -> None:
    with pytest.raises(ValueError, match=r"5 images .* 2 processes"):
        BatchSampler(dataset, 5, seed=0, ranks=2)


def _item(image_id: int, height: int, width: int, skipped: int = 0) -> Item:
    image = torch.randint(1, 256, (3, height, width), dtype=torch.uint8)
    segments = torch.zeros(height, width, dtype=torch.int16)
    segments[: height // 2, : width // 3] = 2
    return Item(image_id, image, make_target(segments, torch.tensor([1]), 2), skipped)


@pytest.mark.parametrize(
    ("sizes", "padded"),
    [
        ([(60, 80)], (64, 96)),
        ([(64, 96)], (64, 96)),
        ([(60, 33), (33, 80)], (64, 96)),
        ([(65, 20), (10, 10), (96, 32)], (96, 32)),
    ],
)
def test_collating_pads_to_multiples_of_32(sizes: list[tuple[int, int]], padded: tuple[int, int]) -> None:
    items = [_item(10 + number, *size, skipped=number) for number, size in enumerate(sizes)]
    batch = collate(items)
    assert batch.images.shape == (len(sizes), 3, *padded)
    assert batch.images.dtype == torch.uint8
    assert batch.target.segments.shape == (len(sizes), *padded)
    assert batch.sizes == sizes
    assert batch.image_ids == [10 + number for number in range(len(sizes))]
    assert batch.skipped == sum(range(len(sizes)))
    for b, (item, (height, width)) in enumerate(zip(items, sizes, strict=True)):
        assert torch.equal(batch.images[b, :, :height, :width], item.image)
        assert int(batch.images[b].long().sum()) == int(item.image.long().sum())
        assert torch.equal(batch.target.segments[b, :height, :width], item.target.segments[0])
        assert (batch.target.segments[b, height:] == VOID).all()
        assert (batch.target.segments[b, :, width:] == VOID).all()
        assert torch.equal(batch.target.boxes[b], item.target.boxes[0])
        assert batch.target.boxes[b].tolist() == [[0, 0, width // 3, height // 2]]
        assert batch.target.classes[b].tolist() == [1]


def _batch_of_real_images(
    annotations: PanopticAnnotations, folder: Path, image_ids: list[int], num_stuff: int
) -> Batch:
    items = []
    for number, image_id in enumerate(image_ids, start=1):
        sample = read_sample(annotations, folder, image_id)
        image, segments = sample.image[:, :, : -13 * number], sample.segments[:, : -13 * number]  # Of odd widths.
        items.append(Item(image_id, image, make_target(segments, sample.classes, num_stuff), 0))
    return collate(items)


@pytest.mark.parametrize("preset", ["r50_800", "light_512"])
def test_normalized_images_are_those_of_inference(data: Path, preset: str) -> None:
    """Training and inference have the same input, including the padding."""
    root = data / "coco_panoptic_mini"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_train2017.json")
    batch = _batch_of_real_images(annotations, root / "train2017", [315, 357], 53)
    config = PRESETS[preset]
    images = normalized(batch, config.pixel_mean, config.pixel_std)
    assert images.dtype == torch.float32
    for b, (height, width) in enumerate(batch.sizes):
        geometry = image_geometry(height, width, min(height, width), max(height, width))
        assert geometry.resized == (height, width)
        pixels = batch.images[b, :, :height, :width].permute(1, 2, 0).contiguous()
        expected = preprocess(pixels, "rgb", geometry, config, torch.float32)[0]
        torch.testing.assert_close(images[b, :, : expected.shape[1], : expected.shape[2]], expected, rtol=0, atol=1e-5)
        assert not images[b, :, height:].any() and not images[b, :, :, width:].any()


def test_normalizing_leaves_the_batch_alone(dataset: PanopticDataset) -> None:
    batch = collate([dataset[Draw(0, 0)]])
    before = batch.images.clone()
    normalized(batch, MEAN, MEAN)
    assert torch.equal(batch.images, before)


def test_an_item_follows_from_its_draw(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, 2, 0, RANDOM)
    first, again, other = dataset[Draw(1, 3)], dataset[Draw(1, 3)], dataset[Draw(1, 4)]
    assert torch.equal(first.image, again.image) and torch.equal(first.target.segments, again.target.segments)
    assert first.image.shape != other.image.shape or not torch.equal(first.image, other.image)
    assert first.image_id == 2 and first.skipped == 0


def test_an_unreadable_image_is_an_error(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, 3, 0)
    (tmp_path / "tiny" / "0002.png").unlink()
    with pytest.raises(DataError, match=r"0002\.png"):
        dataset[Draw(1, 0)]


def test_an_unreadable_image_is_replaced_and_counted(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, 4, 0, skip_unreadable=True)
    for name in ("0002", "0003", "0004"):
        (tmp_path / "tiny" / f"{name}.png").unlink()
    (tmp_path / "annotations" / "panoptic_tiny" / "0003.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped") as warned:
        items = [dataset[Draw(position, 9)] for position in range(4)]
    assert all(any(f"{name}.png" in str(w.message) for w in warned) for name in ("0002", "0003", "0004"))
    assert [item.image_id for item in items] == [1, 1, 1, 1]
    assert [item.skipped for item in items] == [0, 3, 2, 1]
    assert torch.equal(items[0].image, items[3].image)
    assert collate(items).skipped == 6


def test_no_readable_image_at_all_is_an_error(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, 2, 0, skip_unreadable=True)
    for file in (tmp_path / "tiny").iterdir():
        file.unlink()
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(DataError, match=f"none of the images in {tmp_path / 'tiny'}"),
    ):
        dataset[Draw(0, 0)]


def test_a_data_set_without_annotations_is_an_error(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {1: scene(0)})
    with pytest.raises(DataError, match=r"panoptic_tiny\.json"):
        PanopticDataset(replace(annotations, annotations={}), tmp_path / "tiny", PLAIN.build(MEAN))


def test_images_without_annotation_are_not_taken(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {number: scene(number) for number in (1, 2, 3)})
    del annotations.annotations[2]
    dataset = PanopticDataset(annotations, tmp_path / "tiny", PLAIN.build(MEAN))
    assert dataset.image_ids == [1, 3]


def test_only_the_first_images_are_taken(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {number: scene(number) for number in (1, 2, 3)}).first(2)
    assert PanopticDataset(annotations, tmp_path / "tiny", PLAIN.build(MEAN)).image_ids == [1, 2]


def test_the_number_of_workers_does_not_change_the_batches(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, augmentation=RANDOM)
    results = []
    for workers in (0, 1, 2):
        torch.manual_seed(workers)
        loader = load_batches(dataset, BatchSampler(dataset, 4, seed=1), workers, pin_memory=False)
        results.append(list(islice(loader, 5)))
    for alone, *others in zip(*results, strict=True):
        for other in others:
            assert alone.image_ids == other.image_ids and alone.sizes == other.sizes
            assert torch.equal(alone.images, other.images)
            assert torch.equal(alone.target.segments, other.target.segments)
            for name in ("boxes", "classes"):
                for a, b in zip(getattr(alone.target, name), getattr(other.target, name), strict=True):
                    assert torch.equal(a, b)


def test_a_workers_error_names_the_file(tmp_path: Path) -> None:
    dataset = _data_set(tmp_path, 4, 0)
    (tmp_path / "tiny" / "0003.png").unlink()
    batches = _batches(dataset, 1)
    with pytest.raises(DataError, match=r"0003\.png is missing"):
        next(batches)
    batches._shutdown_workers()  # Found by the garbage collector it would wait for its worker for five seconds.


def _batches(dataset: PanopticDataset, workers: int) -> Iterator[Batch]:
    return iter(load_batches(dataset, BatchSampler(dataset, 4, seed=1), workers, pin_memory=False))


def test_real_batches(data: Path) -> None:
    """Wide COCO images, scaled down: sizes, padding, and the instances that the JSON counts."""
    root = data / "coco_panoptic_mini"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_val2017.json")
    transform = Augmentation(shorter_side=(160, 160), longer_side=250, flip=0.0).build(MEAN)
    dataset = PanopticDataset(annotations, root / "val2017", transform)
    assert dataset.image_ids == sorted(annotations.images)
    content = json.loads(annotations.path.read_text())
    things = {c["id"] for c in content["categories"] if c["isthing"]}
    counts = {
        a["image_id"]: sum(s["category_id"] in things and not s["iscrowd"] for s in a["segments_info"])
        for a in content["annotations"]
    }
    for batch in islice(_batches(dataset, 0), 2):
        for image_id, size, boxes in zip(batch.image_ids, batch.sizes, batch.target.boxes, strict=True):
            assert min(size) <= 160 and max(size) <= 250
            assert 0 <= counts[image_id] - len(boxes) <= 3  # The smallest ones may be lost.
        height, width = (math.ceil(max(sides) / 32) * 32 for sides in zip(*batch.sizes, strict=True))
        assert batch.images.shape == (4, 3, height, width)


def test_a_batch_moves_with_all_its_parts() -> None:
    batch = collate([_item(1, 40, 40, skipped=2)]).to(torch.device("meta"))
    parts = [batch.images, batch.target.segments, *batch.target.classes, *batch.target.boxes]
    assert all(part.device.type == "meta" for part in parts)
    assert batch.image_ids == [1] and batch.sizes == [(40, 40)] and batch.skipped == 2
