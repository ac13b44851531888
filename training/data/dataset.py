# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""From the files of a data set to the batches of a training run."""

from __future__ import annotations

import math
import os
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import CategorySet
from ciae_ros.model.backbone import SIZE_DIVISOR
from training.data.augmentation import augment
from training.data.sample import DataError, read_sample
from training.data.target import Target, make_target, stack_targets


class Draw(NamedTuple):
    """One image of a batch and the seed of its augmentation."""

    position: int
    """In the list of the data set's images."""
    seed: int


class Item(NamedTuple):
    """One augmented image."""

    image_id: int
    image: Tensor
    """(3, h, w) uint8, RGB."""
    target: Target
    skipped: int
    """Unreadable images that this one stands in for."""


@dataclass
class Batch:
    """B augmented images of different sizes, padded to H x W, multiples of `SIZE_DIVISOR`."""

    image_ids: list[int]
    images: Tensor
    """(B, 3, H, W) uint8, RGB."""
    sizes: list[tuple[int, int]]
    """Height and width of each image without its padding."""
    target: Target
    skipped: int
    """Unreadable images that were replaced by others."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        images = self.images.to(device, non_blocking=True)
        return Batch(self.image_ids, images, self.sizes, self.target.to(device), self.skipped)

    def pin_memory(self) -> Batch:
        """For the data loader: the same in pinned memory, from which a copy to the device does not block."""
        target = Target(
            self.target.segments.pin_memory(),
            [classes.pin_memory() for classes in self.target.classes],
            [boxes.pin_memory() for boxes in self.target.boxes],
        )
        return Batch(self.image_ids, self.images.pin_memory(), self.sizes, target, self.skipped)


class PanopticDataset(Dataset[Item]):
    """A data set in COCO's panoptic format, of any categories, with augmentation."""

    def __init__(
        self, annotations: PanopticAnnotations, image_folder: Path, transform: v2.Compose, skip_unreadable: bool = False
    ) -> None:
        """Take the images that are annotated.

        Args:
            annotations: of one split.
            image_folder: where its images are.
            transform: of an image and its segments.
            skip_unreadable: put the next image in the place of one that cannot be read; else that is an error.

        Raises:
            DataError: there is no annotated image, or one whose size is not said.
        """
        self.image_ids = sorted(set(annotations.images) & set(annotations.annotations))
        if not self.image_ids:
            raise DataError(f"{annotations.path} annotates no image")
        for image_id in self.image_ids:
            if not annotations.images[image_id].keys() >= {"width", "height"}:
                raise DataError(f"{annotations.path} has no width and height of image {image_id}")
        self._annotations = annotations
        self._image_folder = image_folder
        self._transform = transform
        self._skip_unreadable = skip_unreadable

    @property
    def categories(self) -> CategorySet:
        return self._annotations.categories

    def __len__(self) -> int:
        return len(self.image_ids)

    def is_wide(self, index: int) -> bool:
        """Is the image wider than high?"""
        entry = self._annotations.images[self.image_ids[index]]
        return bool(entry["width"] >= entry["height"])

    def __getitem__(self, draw: Draw) -> Item:
        """An image, augmented; the same for the same draw.

        Raises:
            DataError: the image cannot be read, and is not to be skipped or no other can be read either.
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
    """Endless batches of images of like aspect ratio, the same ones in every run with the same seed.

    Each epoch goes through all images in a random order; wide and high ones are collected apart, so that little of a
    batch is padding. All ranks make the same batches and take different images of each.
    """

    def __init__(
        self, dataset: PanopticDataset, batch_size: int, seed: int, first: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        """Prepare to start at batch number `first`; `batch_size` is that of all ranks together."""
        if batch_size % ranks:
            raise ValueError(f"a batch of {batch_size} images cannot be shared out equally to {ranks} processes")
        self._wide = [dataset.is_wide(index) for index in range(len(dataset))]
        self._batch_size, self._seed, self._first = batch_size, seed, first
        self._share = slice(rank, None, ranks)

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in islice(self._batches(), self._first, None):
            yield batch[self._share]

    def _batches(self) -> Iterator[list[Draw]]:
        rng = random.Random(self._seed)
        waiting: dict[bool, list[Draw]] = {True: [], False: []}
        while True:
            for index in rng.sample(range(len(self._wide)), len(self._wide)):
                group = waiting[self._wide[index]]
                group.append(Draw(index, rng.getrandbits(63)))
                if len(group) == self._batch_size:
                    yield group.copy()
                    group.clear()


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
    """(B, 3, H, W) float32: what the network takes, zero where there is padding (as in inference)."""
    device = batch.images.device
    images = (batch.images - torch.tensor(mean, device=device).view(3, 1, 1)) / torch.tensor(std, device=device).view(
        3, 1, 1
    )
    for image, (height, width) in zip(images, batch.sizes, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return images


def load_batches(dataset: PanopticDataset, sampler: BatchSampler, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """A loader whose workers decode and augment ahead; with none of them, everything is done when it is asked for."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=_prepare_worker,
    )


def _prepare_worker(worker: int) -> None:
    """Workers share the cores with each other; more threads in each would only fight.

    In a process group of their own they do not hear a SIGTERM or Ctrl-C that goes to the run's group: it is for the
    main process, which needs its batch to end in order and then ends them.
    """
    torch.set_num_threads(1)
    os.setpgid(0, 0)
