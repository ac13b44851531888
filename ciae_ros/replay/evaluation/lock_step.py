# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lock-step segmentation: every frame is segmented and none dropped, as fast as the device allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ciae_ros.inference import PanopticResult
from ciae_ros.inference.pipeline.batch import BatchFuture
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.replay.bags.types import BagFrame


@dataclass(frozen=True)
class Segmented:
    """A frame with its result."""

    frame: BagFrame
    result: PanopticResult | None
    """None if the frame has no usable image."""
    stages: StageTimes | None


class LockStep:
    """Sends frames through a pipeline that is kept full."""

    def __init__(self, pipeline: StreamPipeline) -> None:
        self._pipeline = pipeline
        self._warm: set[tuple[int, ...]] = set()
        """Sizes that have been warmed up: the first frame of a size takes longer than later ones."""

    def segment(self, frames: Iterable[BagFrame]) -> Iterator[Segmented]:
        """Segment frames and yield them in order.

        Raises:
            NotFiniteError: the network's output for a frame is not finite.
            RuntimeError: an error of the device, such as too little memory.
        """
        waiting: deque[tuple[BagFrame, BatchFuture | None]] = deque()
        for frame in frames:
            image = frame.image
            if image is not None and image.pixels.shape[:2] not in self._warm:
                while waiting:
                    yield _finished(*waiting.popleft())
                self._pipeline.warm_up(*image.pixels.shape[:2])
                self._warm.add(image.pixels.shape[:2])
            response = None if image is None else self._pipeline.submit([(image.pixels, image.channel_order)])
            waiting.append((frame, response))
            if len(waiting) >= DEPTH:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def _finished(frame: BagFrame, response: BatchFuture | None) -> Segmented:
    if response is None:
        return Segmented(frame, None, None)
    (result,), stages = response.result()
    return Segmented(frame, result, stages)
