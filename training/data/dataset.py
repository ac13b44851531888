# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data set, sampler and loader of the batches of a training run."""

from __future__ import annotations

import math
import random
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.inference import CategorySet
from ciae_ros.model.strides import SIZE_DIVISOR
from training.data.augmentation import augment
from training.data.sample import DataError, read_sample
from training.data.target import Target, make_target, stack_targets
from training.data.workers import prepare_worker


class Draw(NamedTuple):
    """Index of an image in the data set, and the seed of its augmentation."""

    position: int
    """Position in the list of the data set's images."""
    seed: int


class Item(NamedTuple):
    """An augmented image."""

    image_id: ImageId
    image: Tensor
    """Pixels (3, h, w) uint8, RGB."""
    target: Target
    skipped: int
    """Number of unreadable images that this one replaces."""


@dataclass
class Batch:
    """Augmented images of different sizes, padded to H x W, which are multiples of `SIZE_DIVISOR`."""

    image_ids: list[ImageId]
    images: Tensor
    """Pixels (B, 3, H, W) uint8, RGB."""
    sizes: list[tuple[int, int]]
    """Height and width of each image without padding."""
    target: Target
    skipped: int
    """Number of unreadable images that were replaced."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        images = self.images.to(device, non_blocking=True)
        return Batch(self.image_ids, images, self.sizes, self.target.to(device), self.skipped)

    def pin_memory(self) -> Batch:
        """Return the batch in pinned memory, for asynchronous copies to the device; called by the data loader."""
        target = Target(
            self.target.segments.pin_memory(),
            [classes.pin_memory() for classes in self.target.classes],
            [boxes.pin_memory() for boxes in self.target.boxes],
        )
        return Batch(self.image_ids, self.images.pin_memory(), self.sizes, target, self.skipped)


class Part(NamedTuple):
    """Images of a data set that are drawn with a share of their own."""

    positions: range
    """Positions of its images in the data set."""
    share: float
    """Share of the images of all batches, relative to the other parts'."""


class TrainingImages(Dataset[Item]):
    """Annotated images to draw from."""

    parts: Sequence[Part]

    @property
    @abstractmethod
    def categories(self) -> CategorySet: ...

    def __len__(self) -> int:
        return self.parts[-1].positions.stop

    @abstractmethod
    def is_wide(self, index: int) -> bool:
        """Return whether the image is in landscape format."""

    @abstractmethod
    def __getitem__(self, draw: Draw) -> Item:
        """Return an augmented image, which is determined by the draw."""


class PanopticDataset(TrainingImages):
    """A data set in COCO's panoptic format with augmentation."""

    def __init__(
        self, annotations: PanopticAnnotations, image_folder: Path, transform: v2.Compose, skip_unreadable: bool = False
    ) -> None:
        """Select the annotated images.

        Args:
            annotations: annotations of a split.
            image_folder: folder of its images.
            transform: transform of an image and its segments.
            skip_unreadable: replace an unreadable image by the next one instead of raising.

        Raises:
            DataError: no image is annotated, or the size of one is missing.
        """
        self.image_ids = annotations.annotated
        if not self.image_ids:
            raise DataError(f"{annotations.path} has no annotated image")
        for image_id in self.image_ids:
            if not annotations.images[image_id].keys() >= {"width", "height"}:
                raise DataError(f"{annotations.path} has no width and height of image {image_id}")
        self.path = annotations.path
        self.parts = [Part(range(len(self.image_ids)), 1.0)]
        self._annotations = annotations
        self._image_folder = image_folder
        self._transform = transform
        self._skip_unreadable = skip_unreadable

    @property
    def categories(self) -> CategorySet:
        return self._annotations.categories

    def is_wide(self, index: int) -> bool:
        entry = self._annotations.images[self.image_ids[index]]
        return bool(entry["width"] >= entry["height"])

    def __getitem__(self, draw: Draw) -> Item:
        """Return an augmented image, which is determined by the draw.

        Raises:
            DataError: the image cannot be read and must not be skipped, or no image can be read.
        """
        for skipped in range(len(self)):
            image_id = self.image_ids[(draw.position + skipped) % len(self)]
            try:
                sample = read_sample(self._annotations, self._image_folder, image_id)
                break
            except DataError as error:
                if not self._skip_unreadable:
                    raise
                warnings.warn(f"skipped: {error}", stacklevel=1)
        else:
            raise DataError(f"none of the images in {self._image_folder} can be read")
        image, segments = augment(self._transform, sample.image, sample.segments, draw.seed)
        target = make_target(segments, sample.classes, len(self.categories.stuff))
        return Item(image_id, image, target, skipped)


class BatchSampler(Sampler[list[Draw]]):
    """Yields batches endlessly, determined by the seed.

    Each epoch visits all images of a part in random order; landscape and portrait images form separate batches, which
    reduces padding. All ranks generate the same batches and take different images of each.
    """

    def __init__(
        self,
        dataset: TrainingImages,
        batch_size: int,
        seed: int,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Start at batch number `first`; `batch_size` is the total over all ranks."""
        if batch_size % ranks:
            raise ValueError(f"a batch of {batch_size} images cannot be divided equally among {ranks} processes")
        self._parts = dataset.parts
        self._wide = [dataset.is_wide(index) for index in range(len(dataset))]
        self._batch_size, self._seed, self._first = batch_size, seed, first
        self._share = slice(rank, None, ranks)

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in islice(self._batches(), self._first, None):
            yield batch[self._share]

    def _batches(self) -> Iterator[list[Draw]]:
        rng = random.Random(self._seed)
        waiting: dict[bool, list[Draw]] = {True: [], False: []}
        for index in self._positions(rng):
            group = waiting[self._wide[index]]
            group.append(Draw(index, rng.getrandbits(63)))
            if len(group) == self._batch_size:
                yield group.copy()
                group.clear()

    def _positions(self, rng: random.Random) -> Iterator[int]:
        """Yield positions of images endlessly."""
        epochs = [_endless_epochs(part.positions, rng) for part in self._parts]
        if len(epochs) == 1:
            yield from epochs[0]
        shares = [part.share for part in self._parts]
        while True:
            yield next(rng.choices(epochs, shares)[0])


def _endless_epochs(positions: range, rng: random.Random) -> Iterator[int]:
    while True:
        yield from rng.sample(positions, len(positions))


def collate(items: list[Item]) -> Batch:
    """Pad the images to a common size."""
    sizes = [(item.image.shape[1], item.image.shape[2]) for item in items]
    height, width = (math.ceil(max(side) / SIZE_DIVISOR) * SIZE_DIVISOR for side in zip(*sizes, strict=True))
    images = torch.zeros(len(items), 3, height, width, dtype=torch.uint8)
    for padded, item in zip(images, items, strict=True):
        padded[:, : item.image.shape[1], : item.image.shape[2]] = item.image
    target = stack_targets([item.target for item in items], height, width)
    return Batch([item.image_id for item in items], images, sizes, target, sum(item.skipped for item in items))


def normalized(batch: Batch, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """Return the network's input (B, 3, H, W) float32, with zero padding as in inference."""
    device = batch.images.device
    images = (batch.images - torch.tensor(mean, device=device).view(3, 1, 1)) / torch.tensor(std, device=device).view(
        3, 1, 1
    )
    for image, (height, width) in zip(images, batch.sizes, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return images


def load_batches(dataset: TrainingImages, sampler: BatchSampler, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """Create a loader whose workers decode and augment in advance; without workers, the main process does it."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=prepare_worker,
    )
