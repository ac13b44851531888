# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The segmenter: takes frames, converts them, runs them through the pipeline, publishes results and handles errors.

One thread takes the newest frames just before the network becomes idle and submits them to the pipeline; another waits
for the results and publishes them. Neither keeps the network idle.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import rclpy
import torch
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CompressedImage

from ciae_ros.camera.camera_image import CameraImage, UnusableImageError
from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.inference import PanopticResult, Predictor
from ciae_ros.inference.category_selection import CategorySelection
from ciae_ros.inference.pipeline.batch import BatchFuture
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.node.camera_stream import CameraStream, PendingFrame
from ciae_ros.node.diagnostics.frame_statistics import (
    DEVICE_LOST,
    FAILED,
    FUTURE_STAMP,
    OUT_OF_MEMORY,
    STALE,
    STOPPED,
    FrameTimes,
)
from ciae_ros.node.errors import DeviceLostError, describe_error
from ciae_ros.node.frame_scheduler import FrameScheduler
from ciae_ros.node.model_loading import is_out_of_memory
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.publishing.result_publisher import OnResult, SegmentedFrame


@dataclass
class _Job:
    """A frame in the pipeline."""

    stream: CameraStream
    frame: PendingFrame
    image: CameraImage
    convert: float
    """Seconds for the conversion."""
    is_counted: bool = False
    """Whether it was counted as segmented or dropped."""


@dataclass
class _Batch:
    """Frames that are segmented together."""

    jobs: list[_Job]
    future: BatchFuture


BATCHES_AHEAD = 2
"""Maximum number of batches in flight besides the one being published: one in the network and the next one."""

PREPARATION_MARGIN = 1.5
"""Factor on the recent preparation time of frames, by which they are taken early so that the network rarely waits."""


class Segmenter:
    """Segments the newest frames on its own threads until it is stopped."""

    def __init__(
        self,
        predictor: Predictor,
        pipeline: StreamPipeline,
        streams: Mapping[str, CameraStream],
        parameters: Callable[[], NodeParameters],
        selection: Callable[[], CategorySelection],
        clock: Clock,
        logger: RcutilsLogger,
        on_fatal: Callable[[Exception], None],
        max_batch: int = 1,
        note: str = "",
        on_result: OnResult | None = None,
    ) -> None:
        """Start the threads.

        Args:
            predictor: predictor whose settings follow the parameters.
            pipeline: pipeline of the predictor, for exclusive use.
            streams: streams by the names of their cameras.
            parameters: returns the parameters; called for each batch, so that changes apply to the next
                frame.
            selection: returns the categories to publish; called for each frame.
            clock: clock of the node, which stamps are compared with.
            logger: logs dropped frames, once for each reason.
            on_fatal: called with a `DeviceLostError` or an internal error on one of the threads, which then end.
            max_batch: maximum number of frames in a batch.
            note: a line of text for the overlays.
            on_result: called with each result before it is published; must not block.
        """
        self.scheduler: FrameScheduler[PendingFrame] = FrameScheduler(list(streams))
        self._predictor, self._pipeline = predictor, pipeline
        self._streams, self._parameters, self._selection = streams, parameters, selection
        self._clock, self._logger = clock, logger
        self._on_fatal = on_fatal
        self._max_batch, self._note, self._on_result = max_batch, note, on_result
        self._preparation = 0.0
        self._may_submit = threading.Semaphore(BATCHES_AHEAD)
        self._submitted: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._pending: deque[_Batch] = deque()
        self._finishing_since: float | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"ciae-{name}", daemon=True)
            for name, target in (("take", self._take_and_submit), ("publish", self._publish_results))
        ]
        for thread in self._threads:
            thread.start()

    def busy_seconds(self) -> float:
        """Return the age in seconds of the oldest batch in the pipeline or being published; 0 if there is none."""
        finishing_since = self._finishing_since
        finishing = time.perf_counter() - finishing_since if finishing_since is not None else 0.0
        return max(self._pipeline.busy_seconds(), finishing)

    def drop_waiting(self) -> list[str]:
        """Discard waiting frames without counting them; returns the names of their cameras."""
        return [camera for camera, _ in self.scheduler.clear()]

    def stop(self, timeout: float) -> bool:
        """Stop after the batch that is in the network; waiting frames are dropped.

        Returns:
            False if that batch has not finished within the timeout.
        """
        self._close()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _close(self) -> None:
        for camera, _ in self.scheduler.close():
            self._streams[camera].statistics.count_dropped(STOPPED)
        self._stopping.set()
        self._pipeline.wake()
        for batch in list(self._pending):
            batch.future.cancel()

    def _take_and_submit(self) -> None:
        try:
            while frames_by_camera := self._take():
                self._submit_in_batches(frames_by_camera)
        except Exception as error:
            self._abort(error)
        self._submitted.put(None)

    def _take(self) -> list[tuple[str, PendingFrame]]:
        """Take cameras with their newest frames, as late as the network permits; empty after the end."""
        self._may_submit.acquire()
        self._pipeline.wait_until_needed(self._preparation, self._stopping)
        frames_by_camera = self.scheduler.take(self._max_batch)
        self._may_submit.release()
        return frames_by_camera

    def _submit_in_batches(self, frames_by_camera: list[tuple[str, PendingFrame]]) -> None:
        parameters = self._parameters()
        self._predictor.settings = parameters.settings(self._predictor.default_settings)
        jobs = [
            job for camera, frame in frames_by_camera if (job := self._convert(camera, frame, parameters)) is not None
        ]
        # Sorting is stable and preserves the cameras' order within a batch.
        for _, batch in groupby(sorted(jobs, key=self._padded_size), key=self._padded_size):
            self._may_submit.acquire()
            self._submit(list(batch))

    def _submit(self, jobs: list[_Job]) -> None:
        if self._stopping.is_set():
            for job in jobs:
                self._count_dropped(job, STOPPED)
            self._may_submit.release()
            return
        batch = _Batch(jobs, self._submit_to_pipeline(jobs))
        self._pending.append(batch)
        if self._stopping.is_set():
            batch.future.cancel()
        self._submitted.put(batch)

    def _submit_to_pipeline(self, jobs: list[_Job]) -> BatchFuture:
        """Submit frames to the pipeline; a refused submission becomes a failed future."""
        try:
            return self._pipeline.submit([(job.image.pixels, job.image.channel_order) for job in jobs])
        except Exception as error:
            refused: BatchFuture = Future()
            refused.set_exception(error)
            return refused

    def _publish_results(self) -> None:
        end: Exception | None = None
        while (batch := self._submitted.get()) is not None:
            wait([batch.future])
            self._finishing_since = time.perf_counter()
            self._pending.popleft()
            self._may_submit.release()
            try:
                if end is None:
                    self._finish(batch)
            except Exception as error:
                end = error
                self._abort(error)
            if end is not None:
                for job in batch.jobs:
                    self._count_dropped(job, DEVICE_LOST if isinstance(end, DeviceLostError) else FAILED)
            self._finishing_since = None

    def _abort(self, error: Exception) -> None:
        """Stop after a fatal error: a restarted node is better than one that is alive but segments nothing."""
        self._close()
        self._on_fatal(error if isinstance(error, DeviceLostError) else RuntimeError(describe_error(error)))

    def _padded_size(self, job: _Job) -> tuple[int, int]:
        return self._predictor.geometry(*job.image.pixels.shape[:2]).padded

    def _convert(self, camera: str, frame: PendingFrame, parameters: NodeParameters) -> _Job | None:
        """Convert a frame; returns None if it is dropped."""
        stream = self._streams[camera]
        stamp = frame.message.header.stamp
        now = self._clock.now().nanoseconds * 1e-9
        age = now - (stamp.sec + 1e-9 * stamp.nanosec)
        if parameters.max_age and age > parameters.max_age:
            self._drop(stream, STALE, f"an image was {age:.3f} s old, more than max_age ({parameters.max_age} s)")
            return None
        # Simulated time is 0 until /clock is published; stamps cannot be checked before.
        if parameters.max_future and now > 0 and -age > parameters.max_future:
            reason = (
                f"an image was stamped {-age:.3f} s ahead of the node's clock, more than max_future "
                f"({parameters.max_future} s): compare the clocks of camera and node, and use_sim_time of both"
            )
            self._drop(stream, FUTURE_STAMP, reason)
            return None
        start = time.perf_counter()
        try:
            decode: Callable[[Any, int], CameraImage] = (
                decode_image if isinstance(frame.message, CompressedImage) else convert_image
            )
            image = decode(frame.message, parameters.max_pixels)
        except UnusableImageError as error:
            self._drop(stream, error.kind, str(error))
            return None
        except Exception as error:  # A single message must not end the stream.
            self._drop(stream, OUT_OF_MEMORY if is_out_of_memory(error) else FAILED, describe_error(error))
            return None
        return _Job(stream, frame, image, time.perf_counter() - start)

    def _finish(self, batch: _Batch) -> None:
        """Publish the results of a batch, or handle its error."""
        parameters = self._parameters()
        try:
            results, stages = batch.future.result()
        except CancelledError:
            for job in batch.jobs:
                self._count_dropped(job, STOPPED)
            return
        except Exception as error:
            self._handle_batch_error(error, batch.jobs)
            return
        self._preparation = PREPARATION_MARGIN * (stages.preprocess + sum(job.convert for job in batch.jobs))
        for job, result in zip(batch.jobs, results, strict=True):
            self._publish(job, result, stages, parameters)

    def _publish(self, job: _Job, result: PanopticResult, stages: StageTimes, parameters: NodeParameters) -> None:
        stream = job.stream
        try:
            header, result = job.frame.message.header, self._selection().apply(result)
            start = time.perf_counter()
            result = stream.track(header.stamp, result, job.image, parameters)
            tracking = time.perf_counter() - start
            frame = SegmentedFrame(header, job.image, result)
            if self._on_result is not None:
                self._on_result(stream.camera, frame, stream.calibration)
            message, publish = stream.publisher.publish(
                frame, self._predictor.name, stream.calibration, parameters.overlay_style, self._note
            )
        except Exception as error:
            # During shutdown of ROS, the publishers of a frame may be gone.
            self._count_dropped(job, FAILED if rclpy.ok() else STOPPED, describe_error(error))
            return
        stream.last = job.frame, frame
        fusion = stages.proposals + stages.fusion + stages.download
        known = job.convert, stages.preprocess, stages.network, fusion, tracking, message, publish
        total = time.perf_counter() - job.frame.arrival
        times = FrameTimes(total - sum(known), *known)
        job.is_counted = True
        if stream.statistics.count_segmented(times, parameters.latency_budget):
            self._logger.warning(
                f"{stream.camera.name}: a frame took {times.total:.3f} s, more than latency_budget "
                f"({parameters.latency_budget} s); further ones are counted"
            )

    def _handle_batch_error(self, error: Exception, jobs: list[_Job]) -> None:
        """Drop the frames of a failed batch that cannot be segmented, and continue if the device still responds."""
        reason = OUT_OF_MEMORY if is_out_of_memory(error) else FAILED
        description = describe_error(error)
        # The frames of the traceback keep the tensors alive that fill the memory.
        traceback.clear_frames(error.__traceback__)
        self._check_device()
        if reason == OUT_OF_MEMORY and torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(jobs) == 1:
            self._count_dropped(jobs[0], reason, description)
            return
        # The batch was too large, or one frame caused the error: retry them one by one.
        for job in jobs:
            self._finish(_Batch([job], self._submit_to_pipeline([job])))

    def _check_device(self) -> None:
        try:
            self._predictor.check_device()
        except Exception as error:
            if not is_out_of_memory(error):
                raise DeviceLostError(describe_error(error)) from None

    def _count_dropped(self, job: _Job, reason: str, description: str = "") -> None:
        if job.is_counted:
            return
        job.is_counted = True
        if reason == STOPPED:
            job.stream.statistics.count_dropped(reason)
        else:
            self._drop(job.stream, reason, description)

    def _drop(self, stream: CameraStream, reason: str, description: str) -> None:
        if stream.statistics.count_dropped(reason):
            self._logger.warning(
                f"{stream.camera.name}: dropped a frame ({reason}; further ones are counted): {description}"
            )
