# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Segments a unit's frames and measures each of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import CategorySet, PanopticResult, Predictor
from ciae_ros.inference.host_memory import resident_bytes
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.lock_step import LockStep
from ciae_ros.replay.measures.outcomes import FrameScore, score_frame, unscored_frame
from ciae_ros.replay.measures.stability import StabilityMeter
from ciae_ros.replay.measures.tables import confusion_table, frames_table, segments_table
from ciae_ros.replay.read_ahead import read_ahead
from ciae_ros.replay.types import BagFrame, GroundTruth, GroundTruthError
from ciae_ros.replay.units import Unit

MEASURED_BEHIND = 4
"""Frames that have been segmented and wait to be measured, before no more are segmented."""


@dataclass(frozen=True)
class UnitResult:
    """What a unit adds to a run."""

    frames: pd.DataFrame
    segments: pd.DataFrame
    confusion: pd.DataFrame
    label_maps: dict[str, bytes] = field(repr=False, default_factory=dict)
    """PNG files, 16 bits, by name."""
    problems: list[str] = field(default_factory=list)
    """Of its bag and its ground truth, a line each."""
    seconds: float = 0.0
    """That the unit took."""
    peak_memory: int | None = None
    """Bytes that the process has held at most so far: of the CUDA device, as PyTorch counts them, or resident ones."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Images by the reason for which a node has dropped them."""


@dataclass(frozen=True)
class FrameMeasurements:
    """The rows that one frame adds to the tables."""

    frame: dict[str, Any]
    segments: list[dict[str, Any]]
    confusion: list[dict[str, Any]]
    label_map: bytes | None
    problem: str = ""
    """Of its ground truth."""


class UnitEvaluator:
    """Evaluates units one after the other with one model."""

    def __init__(
        self,
        predictor: Predictor,
        pipeline: StreamPipeline,
        truth_of: Callable[[Bag], GroundTruth | None],
        keep_label_maps: bool = True,
    ) -> None:
        """Begin.

        Args:
            predictor: that segments.
            pipeline: of that predictor.
            truth_of: the ground truth of a bag.
            keep_label_maps: have `UnitResult.label_maps`, without which a report shows no pictures.
        """
        self._predictor, self._lock_step = predictor, LockStep(pipeline)
        self._truth_of, self._keep = truth_of, keep_label_maps

    def run(self, unit: Unit, on_frame: Callable[[], object] = lambda: None) -> UnitResult:
        """Segment and measure.

        Args:
            unit: whose bag must be there.
            on_frame: called after each frame.

        Raises:
            BagError: the bag or the topic cannot be read.
            GroundTruthError: there is no such ground truth.
            NotFiniteError: the network's output for a frame is not finite.
            RuntimeError: of the device, as for too little memory.
        """
        start = time.perf_counter()
        with open_bag(unit.path) as bag:
            meter = FrameMeter(self._predictor.categories, self._truth_of(bag), unit, self._keep)
            measured = []
            for found in self._measure_in_order(bag, unit, meter):
                if found is not None:
                    measured.append(found)
                    on_frame()
        return replace(
            unit_result(unit, measured, bag.problems),
            seconds=time.perf_counter() - start,
            peak_memory=peak_memory(self._predictor),
        )

    def _measure_in_order(self, bag: Bag, unit: Unit, meter: FrameMeter) -> Iterator[FrameMeasurements | None]:
        """Of each frame; None for the one before the unit, which is there to be compared with."""
        frames = read_ahead(bag.frames(unit.topic, max(0, unit.start - 1), unit.stop))
        waiting: deque[Future[FrameMeasurements | None]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="ciae-measure") as worker:
            for segmented in self._lock_step.segment(frames):
                waiting.append(
                    worker.submit(meter.measure, segmented.frame, segmented.result, stage_columns(segmented.stages))
                )
                if len(waiting) > MEASURED_BEHIND:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class FrameMeter:
    """Measures the frames of one topic in their order."""

    def __init__(self, categories: CategorySet, truth: GroundTruth | None, unit: Unit, keep_label_maps: bool) -> None:
        self._categories = categories
        self._truth, self._unit, self._keep = truth, unit, keep_label_maps
        self._stability = StabilityMeter()

    def measure(
        self, frame: BagFrame, result: PanopticResult | None, times: dict[str, float]
    ) -> FrameMeasurements | None:
        """One frame.

        Args:
            frame: of the unit, or the one before it.
            result: of the frame, None where there is none.
            times: columns with seconds.

        Returns:
            None for the frame before the unit.
        """
        changed, compared = np.nan, 0.0
        if frame.image is not None and result is not None:
            changed, compared = self._stability.update(gray(frame.image), result.semantic_map(), frame.stamp)
        if frame.key.index < self._unit.start:
            return None
        key = {"bag": self._unit.bag, "topic": frame.key.topic, "index": frame.key.index}
        score, problem, has_truth = self._score(frame, result)
        row = key | frame_columns(frame, result, score) | {"decode": frame.decode} | times
        row |= {"changed": changed, "compared": compared, "has_truth": has_truth, "picture": ""}
        label_map = None
        if self._keep and result is not None:
            row["picture"] = f"units/{self._unit.name}/{label_map_name(frame.key.index)}"
            label_map = encode_label_map(result.label_map)
        return FrameMeasurements(
            row, [key | one for one in score.segments], [key | one for one in score.confusion], label_map, problem
        )

    def _score(self, frame: BagFrame, result: PanopticResult | None) -> tuple[FrameScore, str, bool]:
        """With what is wrong with the ground truth, and whether there is any."""
        nothing = FrameScore([], [], np.nan, np.nan)
        if result is None:
            return nothing, "", False
        try:
            truth = self._truth.find(frame) if self._truth else None
        except GroundTruthError as error:
            return unscored_frame(result), str(error), False
        if truth is None:
            return unscored_frame(result), "", False
        return score_frame(result, truth, self._categories), "", True


def peak_memory(predictor: Predictor) -> int | None:
    """As `UnitResult.peak_memory`."""
    if predictor.device.type == "cuda":
        return torch.cuda.max_memory_allocated(predictor.device)
    return resident_bytes(peak=True)


def unit_result(unit: Unit, measured: list[FrameMeasurements], problems: list[str]) -> UnitResult:
    """Tables of the measured frames, with what was wrong with the bag and with the ground truth."""
    return UnitResult(
        frames_table([one.frame for one in measured]),
        segments_table([row for one in measured for row in one.segments]),
        confusion_table([row for one in measured for row in one.confusion]),
        {label_map_name(one.frame["index"]): one.label_map for one in measured if one.label_map is not None},
        [*problems, *_truth_problems(unit, measured)],
    )


def frame_columns(frame: BagFrame, result: PanopticResult | None, score: FrameScore) -> dict[str, Any]:
    """What the table of frames has of a frame and its result."""
    height, width = frame.image.pixels.shape[:2] if frame.image is not None else (0, 0)
    columns = {
        "stamp": frame.stamp,
        "log_time": frame.log_time,
        "width": width,
        "height": height,
        "problem": frame.problem,
        "pq": score.pq,
        "miou": score.miou,
    }
    if result is None:
        return columns | {"segments": 0, "things": 0, "unlabelled": np.nan, "mean_score": np.nan}
    scores = [segment.score for segment in result.segments if segment.category.is_thing]
    return columns | {
        "segments": len(result.segments),
        "things": len(scores),
        "unlabelled": 1 - sum(segment.area for segment in result.segments) / result.label_map.size,
        "mean_score": float(np.mean(scores)) if scores else np.nan,
    }


def stage_columns(stages: StageTimes | None) -> dict[str, float]:
    """Seconds of each stage and of all of them: what a frame takes that has the device to itself."""
    if stages is None:
        return dict.fromkeys(("preprocess", "network", "proposals", "fusion", "download", "latency"), np.nan)
    columns = asdict(stages)
    return columns | {"latency": sum(columns.values())}


def gray(image: CameraImage) -> np.ndarray:
    """(H, W) uint8 luma."""
    if image.channel_order == "mono":
        return image.pixels[..., 0]
    code = cv2.COLOR_BGR2GRAY if image.channel_order == "bgr" else cv2.COLOR_RGB2GRAY
    return cv2.cvtColor(np.ascontiguousarray(image.pixels[..., :3]), code)


def label_map_name(index: int) -> str:
    """File name of a frame's label map in its unit's folder."""
    return f"{index:08d}.png"


def encode_label_map(label_map: np.ndarray) -> bytes:
    """A PNG of 16 bits."""
    return cv2.imencode(".png", label_map, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _truth_problems(unit: Unit, measured: list[FrameMeasurements]) -> list[str]:
    """The first of each unit's, and how many there are."""
    problems = Counter(one.problem for one in measured if one.problem)
    if not problems:
        return []
    more = f" (and {problems.total() - 1} more frames of {unit.topic})" if problems.total() > 1 else ""
    return [f"{unit.bag}: {next(iter(problems))}{more}"]
