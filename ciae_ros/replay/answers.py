# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a running node answered to the images of a bag, and how good it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ciae_ros.core.run_lengths import decode_runs, encode_runs
from ciae_ros.inference import CategorySet, PanopticResult, Segment
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.types import NO_ANSWER, BagFrame, GroundTruth, ReplayError
from ciae_ros.replay.unit_evaluation import FrameMeasurements, FrameMeter, UnitResult, stage_columns, unit_result
from ciae_ros.replay.units import Unit


class AnswerError(ReplayError):
    """Answers that do not fit the model."""


@dataclass
class Answer:
    """What came back for an image."""

    published: float
    """Seconds of a clock that only goes forward."""
    arrived: float | None = None
    """When the later of the two messages came."""
    shape: tuple[int, int] = (0, 0)
    runs: tuple[np.ndarray, np.ndarray] | None = None
    """The label map, as `encode_runs` makes it."""
    segments: list[tuple[int, int, float]] | None = None
    """Id, category id and score of each."""

    def take_labels(self, labels: np.ndarray) -> None:
        """Keep a label map (H, W) uint16."""
        self.shape, self.runs = labels.shape, encode_runs(labels)

    def take_segments(self, segments: Iterable[Any]) -> None:
        """Keep what is needed of messages `ciae_msgs/PanopticSegment`."""
        self.segments = [(one.id, one.category_id, one.score) for one in segments]

    @property
    def latency(self) -> float | None:
        """Seconds from publishing the image to having labels and segments; None if they have not both come."""
        complete = self.runs is not None and self.segments is not None and self.arrived is not None
        return self.arrived - self.published if complete and self.arrived is not None else None

    def result(self, categories: CategorySet) -> PanopticResult | None:
        """The answer as the network gave it; None if it is not complete.

        Raises:
            AnswerError: the node's model has other categories.
        """
        if self.runs is None or self.segments is None:
            return None
        label_map = decode_runs(*self.runs, self.shape)
        areas = np.bincount(label_map.ravel(), minlength=len(self.segments) + 1)
        segments = []
        for segment_id, category_id, score in self.segments:
            if category_id not in categories.by_id:
                raise AnswerError(f"the node answers with category {category_id}, which the model does not have")
            category = categories.by_id[category_id]
            segments.append(Segment(segment_id, category, score, int(areas[segment_id]), (0, 0, 1, 1), (0.0, 0.0)))
        return PanopticResult(label_map, tuple(segments))


def measure_answers(
    unit: Unit,
    answers: Mapping[int, Answer],
    categories: CategorySet,
    truth_of: Callable[[Bag], GroundTruth | None],
    keep_label_maps: bool,
) -> UnitResult:
    """Measure a unit's frames by their answers.

    Args:
        unit: whose bag has the images.
        answers: by stamp.
        categories: of the node's model.
        truth_of: the ground truth of a bag.
        keep_label_maps: have `UnitResult.label_maps`.

    Raises:
        AnswerError: the node's model has other categories.
        BagError: the bag cannot be read.
    """
    with open_bag(unit.path) as bag:
        meter = FrameMeter(categories, truth_of(bag), unit, keep_label_maps)
        measured = [
            found
            for frame in bag.frames(unit.topic, max(0, unit.start - 1), unit.stop)
            if (found := _measure_frame(meter, frame, answers.get(frame.stamp), categories)) is not None
        ]
        return unit_result(unit, measured, bag.problems)


def _measure_frame(
    meter: FrameMeter, frame: BagFrame, answer: Answer | None, categories: CategorySet
) -> FrameMeasurements | None:
    result = answer.result(categories) if answer else None
    if result is None:
        frame = replace(frame, problem=frame.problem or NO_ANSWER)
    latency = answer.latency if answer and result is not None else None
    return meter.measure(frame, result, stage_columns(None) | {"latency": np.nan if latency is None else latency})
