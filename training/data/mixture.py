# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Several data sets with the same categories, mixed in fixed shares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ciae_ros.inference import CategorySet
from training.data.dataset import Draw, Item, PanopticDataset, Part, TrainingImages
from training.data.sample import DataError


class MixedDataset(TrainingImages):
    """Data sets one after another; the sampler draws from each with its share."""

    def __init__(self, data_sets: Sequence[PanopticDataset], shares: Sequence[float]) -> None:
        """Mix data sets.

        Args:
            data_sets: data sets with equal categories.
            shares: share of each one's images in the batches.

        Raises:
            DataError: the categories differ.
        """
        for other in data_sets[1:]:
            if other.categories != data_sets[0].categories:
                raise DataError(
                    f"{other.path} has other categories than {data_sets[0].path}: map both with the same map "
                    "(python -m training.map_categories)"
                )
        self._data_sets = list(data_sets)
        ends = list(accumulate(map(len, data_sets)))
        starts = [0, *ends[:-1]]
        ranges = [range(start, end) for start, end in zip(starts, ends, strict=True)]
        self.parts = [Part(*one) for one in zip(ranges, shares, strict=True)]

    @property
    def categories(self) -> CategorySet:
        return self._data_sets[0].categories

    def is_wide(self, index: int) -> bool:
        data_set, first = self._find(index)
        return data_set.is_wide(index - first)

    def __getitem__(self, draw: Draw) -> Item:
        """Return an augmented image, whose id is preceded by the path of its annotations; see `PanopticDataset`."""
        data_set, first = self._find(draw.position)
        item = data_set[Draw(draw.position - first, draw.seed)]
        return item._replace(image_id=f"{data_set.path}: {item.image_id}")

    def _find(self, index: int) -> tuple[PanopticDataset, int]:
        """Return the data set of an image and the position of that data set's first image."""
        for data_set, part in zip(self._data_sets, self.parts, strict=True):
            if index < part.positions.stop:
                return data_set, part.positions.start
        raise IndexError(index)
