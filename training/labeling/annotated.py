# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Annotations that images already have, with which the labels of teachers must agree.

A map from both vocabularies to a third one, the one in which annotation and labels can be compared, says what agrees: a
label agrees with the annotation of its pixel if the map makes the same category of both. Where the annotation is void,
every label agrees. If only one of the labels' categories agrees with an annotated category, it is the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.core.result import Segment
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference.category_map import CategoryMap
from training.labeling.voting import Vote


class Annotated:
    """Annotated images, by the names of their files."""

    def __init__(self, path: Path, comparison: CategoryMap, categories: CategorySet) -> None:
        """Load annotations in COCO's panoptic format.

        Args:
            path: JSON file, with its PNGs in the folder of the same name next to it.
            comparison: map from the annotated categories and from those of the labels.
            categories: categories of the labels.

        Raises:
            ValueError: the file has another format, or no category of the labels agrees with a category of it.
            OSError: it cannot be read.
        """
        self._annotations = PanopticAnnotations.load(path)
        annotated = self._annotations.categories
        comparison.check_names(annotated.categories, categories.categories)
        targets = comparison.for_model(annotated.categories).targets
        own_targets = comparison.for_model(categories.categories).targets
        self._agreeing: dict[int, list[Category]] = {}
        for one in annotated.categories:
            self._agreeing[one.id] = [
                own
                for own in categories.categories
                if one.id in targets and own.id in own_targets and own_targets[own.id].id == targets[one.id].id
            ]
            if not self._agreeing[one.id]:
                raise ValueError(f"no category of the labels agrees with {one.name!r} of {path}")
        self.digest = f"{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}, map {comparison.digest}"
        """Identifies the annotations and the map."""
        self._image_ids = {Path(image["file_name"]).stem: key for key, image in self._annotations.images.items()}

    def of_image(self, file_name: str | None) -> ImageAnnotation:
        """Return the annotation of an image.

        Raises:
            ValueError: the image has no name or is not annotated, or its PNG cannot be read.
        """
        image_id = self._image_ids.get(Path(file_name).stem) if file_name else None
        if image_id is None:
            described = file_name or "a frame of a bag or video"
            raise ValueError(f"{self._annotations.path} has no annotation of {described}")
        entry = self._annotations.annotations[image_id]
        agreeing = {segment["id"]: self._agreeing[segment["category_id"]] for segment in entry["segments_info"]}
        return ImageAnnotation(self._annotations.segment_ids(image_id), agreeing)


@dataclass(frozen=True)
class ImageAnnotation:
    """Annotation of an image."""

    ids: np.ndarray
    """(H, W) segment ids; 0 is void."""
    agreeing: Mapping[int, Sequence[Category]]
    """Categories that agree with each segment."""

    def limit(self, votes: Sequence[Vote]) -> list[Vote]:
        """Remove from votes what does not agree, extend their objects to what does, and add the annotation's own vote.

        Raises:
            ValueError: the annotation has another size than the votes.
        """
        shape = votes[0].result.label_map.shape
        if self.ids.shape != shape:
            sizes = [f"{one[1]} x {one[0]}" for one in (self.ids.shape, shape)]
            raise ValueError(f"an annotation has {sizes[0]} pixels, its image {sizes[1]}")
        return [*map(self._limited, votes), self._own_vote()]

    def _limited(self, vote: Vote) -> Vote:
        segments, voted = vote.result.segments, vote.result.label_map
        # Rows are the annotated segments, columns those of the vote.
        agrees = np.zeros((len(self._numbers), len(segments) + 1), bool)
        for segment in segments:
            agrees[:, segment.id] = self._agreement(segment.category)
        ids = np.where(agrees[self._dense, voted], voted, 0)
        objects = [one for one in segments if one.category.is_thing and one.id not in vote.regions]
        # Of overlapping boxes the smaller object is usually the one in front.
        for one in sorted(objects, key=lambda one: one.area):
            self._extend(ids, voted, one)
        present = np.bincount(ids.ravel(), minlength=len(segments) + 1)
        left = [one for one in segments if present[one.id]]
        # The segments of the new result are numbered in their order.
        regions = frozenset(number for number, one in enumerate(left, start=1) if one.id in vote.regions)
        result = panoptic_result(ids, {one.id: (one.category, one.score) for one in left})
        return Vote(result, regions, vote.instance_categories, vote.is_base)

    def _extend(self, ids: np.ndarray, voted: np.ndarray, segment: Segment) -> None:
        """Extend an object to the pixels in its box without a label where the annotation permits only things."""
        x, y, width, height = cv2.boundingRect((voted == segment.id).astype(np.uint8))
        box = slice(y, y + height), slice(x, x + width)
        permitted = self._agreement(segment.category) & self._only_things
        free = (ids[box] == 0) & permitted[self._dense[box]]
        ids[box][free] = segment.id

    @cached_property
    def _numbers(self) -> list[int]:
        """The ids in ascending order."""
        return np.unique(self.ids).tolist()

    @cached_property
    def _dense(self) -> np.ndarray:
        """Positions (H, W) in `_numbers`."""
        return np.searchsorted(self._numbers, self.ids)

    def _agreement(self, category: Category) -> np.ndarray:
        """Return whether a category agrees with each of `_numbers`."""
        return np.array([one == 0 or category in self.agreeing[one] for one in self._numbers])

    @cached_property
    def _only_things(self) -> np.ndarray:
        """Whether only things agree with each of `_numbers`."""
        return np.array([one != 0 and all(own.is_thing for own in self.agreeing[one]) for one in self._numbers])

    def _own_vote(self) -> Vote:
        """Return what the annotation leaves no choice about; its things are not told apart."""
        certain = {one: categories[0] for one, categories in self.agreeing.items() if len(categories) == 1}
        by_category: dict[int, Category] = {category.id: category for category in certain.values()}
        values = np.array([certain[one].id if one in certain else 0 for one in self._numbers], np.int32)
        ids = values[self._dense]
        result = panoptic_result(ids, {number: (category, 1.0) for number, category in by_category.items()})
        regions = frozenset(one.id for one in result.segments if one.category.is_thing)
        return Vote(result, regions, frozenset(), is_base=True)
