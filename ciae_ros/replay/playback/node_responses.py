# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Responses of a running node to the images of a bag, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ciae_ros.core.run_lengths import decode_runs, encode_runs
from ciae_ros.inference import CategorySet, PanopticResult, Segment
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.types import NO_RESPONSE, REPEATED_STAMP, BagFrame, GroundTruth, ReplayError
from ciae_ros.replay.evaluation.shard_evaluation import (
    FrameMeasurements,
    FrameMeter,
    ShardResult,
    shard_result,
    stage_columns,
)
from ciae_ros.replay.evaluation.shards import Shard


class ResponseError(ReplayError):
    """Responses that do not match the model."""


@dataclass
class NodeResponse:
    """Response of the node to one image."""

    published: float
    """Time of publication in seconds of a monotonic clock."""
    arrived: float | None = None
    """Arrival of the later of the two messages."""
    shape: tuple[int, int] = (0, 0)
    runs: tuple[np.ndarray, np.ndarray] | None = None
    """Label map, as encoded by `encode_runs`."""
    segments: list[tuple[int, int, float, int]] | None = None
    """Id, category id, score and track id of each segment."""

    def set_labels(self, labels: np.ndarray) -> None:
        """Store a label map (H, W) uint16."""
        self.shape, self.runs = labels.shape, encode_runs(labels)

    def set_segments(self, segments: Iterable[Any]) -> None:
        """Store what is needed of `ciae_msgs/PanopticSegment` messages."""
        self.segments = [(one.id, one.category_id, one.score, one.track_id) for one in segments]

    @property
    def latency(self) -> float | None:
        """Seconds from publication to the arrival of labels and segments; None if one is missing."""
        complete = self.runs is not None and self.segments is not None and self.arrived is not None
        return self.arrived - self.published if complete and self.arrived is not None else None

    def result(self, categories: CategorySet) -> PanopticResult | None:
        """Return the response as a result; None if it is incomplete.

        Raises:
            ResponseError: the categories of the node's model differ.
        """
        if self.runs is None or self.segments is None:
            return None
        label_map = decode_runs(*self.runs, self.shape)
        areas = np.bincount(label_map.ravel(), minlength=len(self.segments) + 1)
        segments = []
        for segment_id, category_id, score, track_id in self.segments:
            if category_id not in categories.by_id:
                raise ResponseError(f"the node reports category {category_id}, which the model does not have")
            category = categories.by_id[category_id]
            area = int(areas[segment_id])
            segments.append(Segment(segment_id, category, score, area, (0, 0, 1, 1), (0.0, 0.0), track_id))
        return PanopticResult(label_map, tuple(segments))


def measure_responses(
    shard: Shard,
    responses: Mapping[int, NodeResponse],
    categories: CategorySet,
    truth_of: Callable[[Bag], GroundTruth | None],
    keep_label_maps: bool,
) -> ShardResult:
    """Evaluate the frames of a shard by their responses.

    Args:
        shard: shard of the bag with the images.
        responses: responses by stamp.
        categories: categories of the node's model.
        truth_of: opens the ground truth of a bag.
        keep_label_maps: fill `ShardResult.label_maps`.

    Raises:
        ResponseError: the categories of the node's model differ.
        BagError: the bag cannot be read.
    """
    with open_bag(shard.path) as bag:
        meter = FrameMeter(bag, shard, categories, truth_of(bag), keep_label_maps)
        repeated = bag.repeated_stamps(shard.topic)
        measured = []
        for frame in bag.frames(shard.topic, max(0, shard.start - 1), shard.stop):
            is_unique = frame.stamp not in repeated
            response = responses.get(frame.stamp) if is_unique else None
            missing = NO_RESPONSE if is_unique else REPEATED_STAMP
            found = _measure_frame(meter, frame, response, missing, categories)
            if found is not None:
                measured.append(found)
        return shard_result(shard, measured, bag.problems)


def _measure_frame(
    meter: FrameMeter, frame: BagFrame, response: NodeResponse | None, missing: str, categories: CategorySet
) -> FrameMeasurements | None:
    """Measure a frame; `missing` is its problem if there is no response."""
    result = response.result(categories) if response else None
    if result is None:
        frame = replace(frame, problem=frame.problem or missing)
    latency = response.latency if response and result is not None else None
    return meter.measure(frame, result, stage_columns(None) | {"latency": np.nan if latency is None else latency})
