# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of a shard: segmentation of its frames and their metrics."""

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
from ciae_ros.replay.bags.types import BagFrame, GroundTruth, GroundTruthError
from ciae_ros.replay.evaluation.lock_step import LockStep
from ciae_ros.replay.evaluation.read_ahead import read_ahead
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.evaluation.track_linking import SHARED_FRAMES, thing_rows, track_ends_table
from ciae_ros.replay.metrics.matching import FrameScore, score_frame, unscored_frame
from ciae_ros.replay.metrics.run_tables import confusion_table, frames_table, overlaps_table, segments_table
from ciae_ros.replay.metrics.stability import StabilityMeter
from ciae_ros.tracking.tracker import Tracker

MEASURED_BEHIND = 4
"""Maximum number of segmented frames that wait for their metrics."""


@dataclass(frozen=True)
class ShardResult:
    """Result of a shard."""

    frames: pd.DataFrame
    segments: pd.DataFrame
    confusion: pd.DataFrame
    overlaps: pd.DataFrame
    track_ends: pd.DataFrame
    """Things in the first and the last frames, see `track_linking`; empty if ids are valid in the whole run."""
    label_maps: dict[str, bytes] = field(repr=False, default_factory=dict)
    """Label maps as 16-bit PNG files, by name."""
    problems: list[str] = field(default_factory=list)
    """Problems with the bag and the ground truth, one line each."""
    seconds: float = 0.0
    """Time that the shard took."""
    peak_memory: int | None = None
    """Peak memory of the process in bytes: allocated by PyTorch on a CUDA device, or resident memory on a CPU."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Number of images that a node has dropped, by reason."""


@dataclass(frozen=True)
class FrameMeasurements:
    """Rows of one frame for the tables."""

    frame: dict[str, Any]
    segments: list[dict[str, Any]]
    confusion: list[dict[str, Any]]
    overlaps: list[dict[str, Any]]
    label_map: bytes | None
    problem: str = ""
    """Problem with the ground truth, if any."""


class ShardEvaluator:
    """Evaluates shards sequentially with one model."""

    def __init__(
        self,
        predictor: Predictor,
        pipeline: StreamPipeline,
        truth_of: Callable[[Bag], GroundTruth | None],
        keep_label_maps: bool = True,
    ) -> None:
        """Create the evaluator.

        Args:
            predictor: segments the frames.
            pipeline: pipeline of the predictor.
            truth_of: opens the ground truth of a bag.
            keep_label_maps: fill `ShardResult.label_maps`, which a report needs for its images.
        """
        self._predictor, self._lock_step = predictor, LockStep(pipeline)
        self._truth_of, self._keep = truth_of, keep_label_maps

    def run(self, shard: Shard, on_frame: Callable[[], object] = lambda: None) -> ShardResult:
        """Evaluate a shard.

        Args:
            shard: shard of an existing bag.
            on_frame: called after each frame.

        Raises:
            BagError: the bag or the topic cannot be read.
            GroundTruthError: the ground truth does not exist.
            NotFiniteError: the network's output for a frame is not finite.
            RuntimeError: an error of the device, such as too little memory.
        """
        start = time.perf_counter()
        with open_bag(shard.path) as bag:
            meter = FrameMeter(bag, shard, self._predictor.categories, self._truth_of(bag), self._keep, Tracker())
            measured = []
            for found in self._measure_in_order(bag, shard, meter):
                if found is not None:
                    measured.append(found)
                    on_frame()
        return replace(
            shard_result(shard, measured, bag.problems),
            track_ends=track_ends_table(meter.track_ends),
            seconds=time.perf_counter() - start,
            peak_memory=peak_memory(self._predictor),
        )

    def _measure_in_order(self, bag: Bag, shard: Shard, meter: FrameMeter) -> Iterator[FrameMeasurements | None]:
        """Yield the measurements of each frame in order; None for frames before the shard."""
        frames = read_ahead(bag.frames(shard.topic, max(0, shard.start - SHARED_FRAMES), shard.stop))
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
    """Computes the metrics of the frames of one topic, in order."""

    def __init__(
        self,
        bag: Bag,
        shard: Shard,
        categories: CategorySet,
        truth: GroundTruth | None,
        keep_label_maps: bool,
        tracker: Tracker | None = None,
    ) -> None:
        """Begin with a shard.

        Args:
            bag: bag of the shard.
            shard: shard whose frames will be measured, after at most `SHARED_FRAMES` frames before it.
            categories: categories of the results.
            truth: ground truth of the bag.
            keep_label_maps: whether the measurements include label maps.
            tracker: gives things ids; None if the results have them, or have none.
        """
        self.track_ends: list[dict[str, Any]] = []
        """Rows of the table of track ends."""
        self._tracker = tracker
        self._repeated_stamps = bag.repeated_stamps(shard.topic) if truth else frozenset()
        self._categories = categories
        self._truth, self._shard, self._keep = truth, shard, keep_label_maps
        self._stability = StabilityMeter()

    def measure(
        self, frame: BagFrame, result: PanopticResult | None, times: dict[str, float]
    ) -> FrameMeasurements | None:
        """Compute the metrics of one frame.

        Args:
            frame: a frame of the shard, or one before it.
            result: result of the frame, or None.
            times: columns with times in seconds.

        Returns:
            None for a frame before the shard.
        """
        if result is not None:
            result = self._tracked(frame, result)
        changed, compared = np.nan, 0.0
        if frame.image is not None and result is not None:
            changed, compared = self._stability.update(gray(frame.image), result.semantic_map(), frame.stamp)
        if frame.key.index < self._shard.start:
            return None
        key = {"bag": self._shard.bag, "topic": frame.key.topic, "index": frame.key.index}
        score, problem, has_truth = self._score(frame, result)
        row = key | frame_columns(frame, result, score) | {"decode": frame.decode} | times
        row |= {"changed": changed, "compared": compared, "has_truth": has_truth, "picture": ""}
        label_map = None
        if self._keep and result is not None:
            row["picture"] = f"shards/{self._shard.name}/{label_map_name(frame.key.index)}"
            label_map = encode_label_map(result.label_map)
        return FrameMeasurements(
            row,
            [key | one for one in score.segments],
            [key | one for one in score.confusion],
            [key | one for one in score.overlaps],
            label_map,
            problem,
        )

    def _tracked(self, frame: BagFrame, result: PanopticResult) -> PanopticResult:
        if self._tracker is None:
            return result
        result = self._tracker.update(result, 1e-9 * frame.stamp, frame.image.pixels if frame.image else None)
        is_shared = not self._shard.start <= frame.key.index < self._shard.stop - SHARED_FRAMES
        if is_shared:
            self.track_ends += thing_rows(frame.key.index, result)
        return result

    def _score(self, frame: BagFrame, result: PanopticResult | None) -> tuple[FrameScore, str, bool]:
        """Return the score, the problem with the ground truth, and whether there is ground truth."""
        nothing = FrameScore([], [], np.nan, np.nan)
        if result is None:
            return nothing, "", False
        try:
            is_unique = frame.stamp not in self._repeated_stamps
            truth = self._truth.find(replace(frame, is_stamp_unique=is_unique)) if self._truth else None
        except GroundTruthError as error:
            return unscored_frame(result), str(error), False
        if truth is None:
            return unscored_frame(result), "", False
        return score_frame(result, truth, self._categories), "", True


def peak_memory(predictor: Predictor) -> int | None:
    """Return the peak memory, as `ShardResult.peak_memory` defines it."""
    if predictor.device.type == "cuda":
        return torch.cuda.max_memory_allocated(predictor.device)
    return resident_bytes(peak=True)


def shard_result(shard: Shard, measured: list[FrameMeasurements], problems: list[str]) -> ShardResult:
    """Build the tables of the measured frames, with the problems of the bag and of the ground truth."""
    return ShardResult(
        frames_table([one.frame for one in measured]),
        segments_table([row for one in measured for row in one.segments]),
        confusion_table([row for one in measured for row in one.confusion]),
        overlaps_table([row for one in measured for row in one.overlaps]),
        track_ends_table([]),
        {label_map_name(one.frame["index"]): one.label_map for one in measured if one.label_map is not None},
        [*problems, *_truth_problems(shard, measured)],
    )


def frame_columns(frame: BagFrame, result: PanopticResult | None, score: FrameScore) -> dict[str, Any]:
    """Return the columns of the frame table for a frame and its result."""
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
    """Return the seconds of each stage and their sum, the latency of a frame that has the device to itself."""
    if stages is None:
        return dict.fromkeys(("preprocess", "network", "proposals", "fusion", "download", "latency"), np.nan)
    columns = asdict(stages)
    return columns | {"latency": sum(columns.values())}


def gray(image: CameraImage) -> np.ndarray:
    """Convert an image to (H, W) uint8 luma."""
    if image.channel_order == "mono":
        return image.pixels[..., 0]
    code = cv2.COLOR_BGR2GRAY if image.channel_order == "bgr" else cv2.COLOR_RGB2GRAY
    return cv2.cvtColor(np.ascontiguousarray(image.pixels[..., :3]), code)


def label_map_name(index: int) -> str:
    """Return the file name of a frame's label map in the folder of its shard."""
    return f"{index:08d}.png"


def encode_label_map(label_map: np.ndarray) -> bytes:
    """Encode a label map as a 16-bit PNG."""
    return cv2.imencode(".png", label_map, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _truth_problems(shard: Shard, measured: list[FrameMeasurements]) -> list[str]:
    """Return the first problem with the ground truth, and how many frames have one."""
    problems = Counter(one.problem for one in measured if one.problem)
    if not problems:
        return []
    more = f" (and {problems.total() - 1} more frames of {shard.topic})" if problems.total() > 1 else ""
    return [f"{shard.bag}: {next(iter(problems))}{more}"]
