# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The tracker: gives each thing of a camera's frames an id that stays with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import numpy as np

from ciae_ros.core.result import PanopticResult
from ciae_ros.tracking.association import Similarities, affinity, assign
from ciae_ros.tracking.box_motion import BoxMotion
from ciae_ros.tracking.camera_motion import CameraMotion
from ciae_ros.tracking.mask_samples import MaskSamples, overlap, sample_masks
from ciae_ros.tracking.things import Things, thing_map, things_of

MAX_GAP = 2.0
"""Default of the seconds for which a track is kept while its thing is not seen."""
MAX_BACKWARD_STEP = 0.5
"""Seconds by which a stamp may precede the one before."""
MAX_UNSEEN = 200
"""Maximum number of tracks whose things are not seen, which bounds the cost if stamps do not advance."""
POSITION_TOLERANCE = 0.5
"""Standard deviation of the position of a thing, besides that of the prediction, in sides of its box."""
SIZE_WEIGHT = 2.0
"""Distance, in standard deviations, of boxes of which one is e times as large as the other."""
QUERY_MEMORY = 0.5
"""Weight of a track's former query in its average."""


class Tracker:
    """The tracks of one camera. Not safe for concurrent use."""

    def __init__(self, ids: Iterator[int] | None = None) -> None:
        """Start without tracks.

        Args:
            ids: source of ids; from 1 if None.
        """
        self._new_ids = ids if ids is not None else count(1)
        self.reset()

    def __len__(self) -> int:
        """Return the number of tracks, whether their things are seen or not."""
        return len(self._ids)

    def reset(self) -> None:
        """Forget all tracks; their ids are not used again."""
        self._camera_motion = CameraMotion()
        self._stamp = -np.inf
        self._shape: tuple[int, ...] = ()
        # The first tracks are those of which nothing was seen in the last frame, in the order in which they were seen.
        self._num_unseen = 0
        self._ids: np.ndarray = np.empty(0, np.int64)
        self._last_seen: np.ndarray = np.empty(0)
        self._categories: np.ndarray = np.empty(0, np.int64)
        self._queries: np.ndarray = np.empty((0, 0), np.float32)
        self._masks = MaskSamples.none()
        self._motion = BoxMotion()

    def update(
        self, result: PanopticResult, stamp: float, image: np.ndarray | None = None, max_gap: float = MAX_GAP
    ) -> PanopticResult:
        """Return the result of the next frame with the ids of its things.

        The tracks are reset if time runs back by more than `MAX_BACKWARD_STEP` or the size of the result changes.

        Args:
            result: result of the frame.
            stamp: seconds of any clock.
            image: (H, W) or (H, W, C) uint8 of the frame, of any size, from which the motion of the camera is found;
                None: the camera stands still.
            max_gap: seconds for which a track is kept while its thing is not seen.
        """
        if stamp < self._stamp - MAX_BACKWARD_STEP or result.label_map.shape != self._shape:
            self.reset()
        # The stamps of some drivers are not quite in order.
        stamp = max(stamp, self._stamp)
        self._shape = result.label_map.shape
        self._forget(stamp, max_gap)
        self._predict(stamp, result, image)
        things = self._with_equal_dimensions(things_of(result))
        tracks, continued = assign(affinity(self._similarities(things, result, max_gap)))
        ids = self._take_over(things, result, tracks, continued, stamp)
        segments = list(result.segments)
        for number, track_id in zip(things.numbers.tolist(), ids.tolist(), strict=True):
            segments[number - 1] = replace(segments[number - 1], track_id=track_id)
        return replace(result, segments=tuple(segments))

    def _forget(self, stamp: float, max_gap: float) -> None:
        """Forget tracks whose things were not seen for too long."""
        is_kept = stamp - self._last_seen <= max_gap
        is_kept[: max(0, self._num_unseen - MAX_UNSEEN)] = False
        if not is_kept.all():
            self._keep(np.flatnonzero(is_kept))

    def _predict(self, stamp: float, result: PanopticResult, image: np.ndarray | None) -> None:
        """Move the tracks to where their things are expected."""
        camera_motion = self._camera_motion.update(image, thing_map(result)) if image is not None else None
        if not len(self._ids):
            return
        if camera_motion is not None:
            self._motion.compensate(camera_motion * (1, 1, self._shape[1]))
        self._motion.hold_size(self._num_unseen)
        self._motion.predict(stamp - self._stamp)

    def _with_equal_dimensions(self, things: Things) -> Things:
        """Make the queries of tracks and things, where only one side has some, equally long; missing ones are 0."""
        dimension = max(self._queries.shape[1], things.queries.shape[1])
        self._queries, of_things = (
            each if each.shape[1] == dimension else np.zeros((len(each), dimension), np.float32)
            for each in (self._queries, things.queries)
        )
        return things._replace(queries=of_things)

    def _similarities(self, things: Things, result: PanopticResult, max_gap: float) -> Similarities:
        expected = self._motion.boxes
        common = overlap(self._masks, expected, result.label_map, len(result.segments))
        areas = common.sum(axis=1, keepdims=True)
        common = common[:, things.numbers]
        return Similarities(
            overlap=common / np.maximum(areas + things.areas - common, 1),
            distance=_distances(expected, self._motion.position_deviation, things.boxes),
            same_category=self._categories[:, None] == things.categories,
            query_difference=_query_differences(self._queries, things.queries),
            gap=(self._stamp - self._last_seen)[:, None] / max(max_gap, np.finfo(float).tiny),
        )

    def _take_over(
        self, things: Things, result: PanopticResult, tracks: np.ndarray, continued: np.ndarray, stamp: float
    ) -> np.ndarray:
        """Update the tracks by the things of the frame, of which those `continued` belong to these `tracks`.

        Returns:
            (S,) ids of the things.
        """
        num_tracks, num_things = len(self._ids), len(things.numbers)
        is_new = np.ones(num_things, bool)
        is_new[continued] = False
        ids = np.empty(num_things, np.int64)
        ids[continued] = self._ids[tracks]
        num_new = int(np.count_nonzero(is_new))
        ids[is_new] = list(islice(self._new_ids, num_new))
        boxes = things.boxes.astype(np.float64)
        boxes[continued] = self._motion.update(tracks, boxes[continued])
        self._motion.append(boxes[is_new])
        queries = things.queries.copy()
        queries[continued] = _averaged(self._queries[tracks], queries[continued])
        unseen = np.delete(np.arange(num_tracks), tracks)
        places = np.empty(num_things, np.intp)
        places[continued] = tracks
        places[is_new] = num_tracks + np.arange(num_new)
        self._motion.select(np.concatenate((unseen, places)))
        self._ids = np.concatenate((self._ids[unseen], ids))
        self._last_seen = np.concatenate((self._last_seen[unseen], np.full(num_things, stamp)))
        self._categories = np.concatenate((self._categories[unseen], things.categories))
        self._queries = np.concatenate((self._queries[unseen], queries))
        masks = sample_masks(result.label_map, things.numbers, boxes)
        self._masks = self._masks.selected(unseen).joined(masks)
        self._stamp, self._num_unseen = stamp, len(unseen)
        return ids

    def _keep(self, tracks: np.ndarray) -> None:
        self._num_unseen = int(np.count_nonzero(tracks < self._num_unseen))
        self._ids, self._last_seen = self._ids[tracks], self._last_seen[tracks]
        self._categories, self._masks = self._categories[tracks], self._masks.selected(tracks)
        self._queries = self._queries[tracks]
        self._motion.select(tracks)


def _distances(expected: np.ndarray, deviation: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the distances (T, S) of the boxes (S, 4) seen from those (T, 4) expected, in standard deviations."""
    side = np.sqrt(expected[:, 2] * expected[:, 3])
    scale = np.hypot(deviation, POSITION_TOLERANCE * side[:, None])
    # What is hidden of an object does not count: a box is 0 away from one that contains it.
    start = seen[:, :2] - expected[:, None, :2]
    end = start + seen[:, 2:] - expected[:, None, 2:]
    offset = np.where(start * end > 0, np.minimum(np.abs(start), np.abs(end)), 0)
    growth = 0.5 * np.log(seen[:, 2] * seen[:, 3]) - np.log(side)[:, None]
    return np.hypot(*np.moveaxis(offset / scale[:, None], 2, 0)) + SIZE_WEIGHT * np.abs(growth)


def _query_differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 - cosine (T, S) of queries (T, D) and (S, D), and 0 where either is missing."""
    is_known = np.any(first, axis=1, keepdims=True) & np.any(second, axis=1)
    return np.where(is_known, 1 - first @ second.T, 0)


def _averaged(former: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the averages (N, D) of queries, of unit length, or 0 where both are missing."""
    mean = QUERY_MEMORY * former + (1 - QUERY_MEMORY) * present
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(np.float32).tiny)
