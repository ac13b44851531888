# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Takes frames, converts them, has them segmented, publishes, and survives what a frame can do.

One thread takes the newest frames just before the network gets free and sends them into the pipeline, another one waits
for what comes out of it and publishes: neither keeps the network waiting.
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

import cv2
import rclpy
import torch
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CompressedImage

from ciae_ros.camera.camera_image import CameraImage, UnusableImageError
from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.inference import PanopticResult, Predictor
from ciae_ros.inference.pipeline.batch import BatchFuture
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.node.camera_stream import CameraStream, Frame
from ciae_ros.node.frame_scheduler import FrameScheduler
from ciae_ros.node.frame_statistics import (
    DEVICE_LOST,
    FAILED,
    FUTURE_STAMP,
    OUT_OF_MEMORY,
    STALE,
    STOPPED,
    FrameTimes,
)
from ciae_ros.node.parameters import NodeParameters
from ciae_ros.node.result_publisher import SegmentedFrame


@dataclass
class _Job:
    """A frame on its way through the network."""

    stream: CameraStream
    frame: Frame
    image: CameraImage
    convert: float
    """Seconds that the conversion took."""
    is_counted: bool = False
    """Segmented or dropped."""


@dataclass
class _Batch:
    """Frames that go through the network together."""

    jobs: list[_Job]
    answer: BatchFuture


class DeviceLostError(Exception):
    """The device answers no more; nothing that it may still say can be trusted."""


class DeviceHungError(Exception):
    """The device has not answered within the time that it was given."""


BATCHES_AHEAD = 2
"""So many may be on their way besides the one that is being published: one in the network, one that is next."""

PREPARATION_MARGIN = 1.5
"""Frames are taken so many times earlier than the last ones needed to be ready, so that the network seldom waits."""


class Segmenter:
    """Segments the newest frames on threads of its own until it is stopped."""

    def __init__(
        self,
        predictor: Predictor,
        pipeline: StreamPipeline,
        streams: Mapping[str, CameraStream],
        parameters: Callable[[], NodeParameters],
        clock: Clock,
        logger: RcutilsLogger,
        on_end: Callable[[Exception], None],
        max_batch: int = 1,
        note: str = "",
    ) -> None:
        """Begin.

        Args:
            predictor: whose settings follow the parameters.
            pipeline: of that predictor; used by nobody else from now on.
            streams: by the cameras' names.
            parameters: asked for each batch, so that changes count for the next frame.
            clock: the node's; stamps are compared with it.
            logger: for frames that could not be segmented, once for each reason.
            on_end: called on one of the threads, which then end, with a `DeviceLostError` or a fault of ours.
            max_batch: most frames that go through the network at once.
            note: a line of text for the overlays.
        """
        self.scheduler: FrameScheduler[Frame] = FrameScheduler(list(streams))
        self._predictor, self._pipeline = predictor, pipeline
        self._streams, self._parameters = streams, parameters
        self._clock, self._logger = clock, logger
        self._on_end = on_end
        self._max_batch, self._note = max_batch, note
        self._preparation = 0.0
        self._may_submit = threading.Semaphore(BATCHES_AHEAD)
        self._submitted: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._unanswered: deque[_Batch] = deque()
        self._finishing_since: float | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"ciae-{name}", daemon=True)
            for name, target in (("take", self._take_and_submit), ("publish", self._publish_and_survive))
        ]
        for thread in self._threads:
            thread.start()

    def busy_seconds(self) -> float:
        """Seconds since the oldest batch began that is in the pipeline or being finished now; 0 if there is none."""
        finishing_since = self._finishing_since
        finishing = time.perf_counter() - finishing_since if finishing_since is not None else 0.0
        return max(self._pipeline.busy_seconds(), finishing)

    def drop_waiting(self) -> list[str]:
        """Forget the frames that wait; returns their cameras' names. They are not counted here."""
        return [camera for camera, _ in self.scheduler.clear()]

    def stop(self, timeout: float) -> bool:
        """End after the batch that is in the network now; frames that wait are dropped.

        Returns:
            False if that batch has not come out of the network within so many seconds.
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
        for batch in list(self._unanswered):
            batch.answer.cancel()

    def _take_and_submit(self) -> None:
        try:
            while turns := self._take():
                self._submit_in_batches(turns)
        except Exception as error:
            self._give_up(error)
        self._submitted.put(None)

    def _take(self) -> list[tuple[str, Frame]]:
        """Cameras with their newest frames, as late as the network allows; none after the end."""
        self._may_submit.acquire()
        self._pipeline.wait_until_needed(self._preparation, self._stopping)
        turns = self.scheduler.take(self._max_batch)
        self._may_submit.release()
        return turns

    def _submit_in_batches(self, turns: list[tuple[str, Frame]]) -> None:
        parameters = self._parameters()
        self._predictor.settings = parameters.settings(self._predictor.default_settings)
        jobs = [job for camera, frame in turns if (job := self._convert(camera, frame, parameters)) is not None]
        # Sorting is stable: the cameras' order stays within a batch.
        for _, batch in groupby(sorted(jobs, key=self._padded_size), key=self._padded_size):
            self._may_submit.acquire()
            self._submit(list(batch))

    def _submit(self, jobs: list[_Job]) -> None:
        if self._stopping.is_set():
            for job in jobs:
                self._count_dropped(job, STOPPED)
            self._may_submit.release()
            return
        batch = _Batch(jobs, self._answer_of(jobs))
        self._unanswered.append(batch)
        if self._stopping.is_set():
            batch.answer.cancel()
        self._submitted.put(batch)

    def _answer_of(self, jobs: list[_Job]) -> BatchFuture:
        """Send frames into the pipeline; what it refuses is an error like those that come out of it."""
        try:
            return self._pipeline.submit([(job.image.pixels, job.image.channel_order) for job in jobs])
        except Exception as error:
            refused: BatchFuture = Future()
            refused.set_exception(error)
            return refused

    def _publish_and_survive(self) -> None:
        end: Exception | None = None
        while (batch := self._submitted.get()) is not None:
            wait([batch.answer])
            self._finishing_since = time.perf_counter()
            self._unanswered.popleft()
            self._may_submit.release()
            try:
                if end is None:
                    self._finish(batch)
            except Exception as error:
                end = error
                self._give_up(error)
            if end is not None:
                for job in batch.jobs:
                    self._count_dropped(job, DEVICE_LOST if isinstance(end, DeviceLostError) else FAILED)
            self._finishing_since = None

    def _give_up(self, error: Exception) -> None:
        """A node that lives and segments nothing would be worse than one that is started again."""
        self._close()
        self._on_end(error if isinstance(error, DeviceLostError) else RuntimeError(described(error)))

    def _padded_size(self, job: _Job) -> tuple[int, int]:
        return self._predictor.geometry(*job.image.pixels.shape[:2]).padded

    def _convert(self, camera: str, frame: Frame, parameters: NodeParameters) -> _Job | None:
        """The frame's pixels; None if it is dropped."""
        stream = self._streams[camera]
        stamp = frame.message.header.stamp
        now = self._clock.now().nanoseconds * 1e-9
        age = now - (stamp.sec + 1e-9 * stamp.nanosec)
        if parameters.max_age and age > parameters.max_age:
            self._drop(stream, STALE, f"an image was {age:.3f} s old, more than max_age ({parameters.max_age} s)")
            return None
        # Simulated time is 0 until somebody publishes /clock: nothing is known about stamps then.
        if parameters.max_future and now > 0 and -age > parameters.max_future:
            reason = (
                f"an image was stamped {-age:.3f} s after the node's time, more than max_future "
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
        except Exception as error:  # Whatever one message does must not end the stream.
            self._drop(stream, OUT_OF_MEMORY if is_out_of_memory(error) else FAILED, described(error))
            return None
        return _Job(stream, frame, image, time.perf_counter() - start)

    def _finish(self, batch: _Batch) -> None:
        """Publish a batch's answer, or see what to do about its error."""
        parameters = self._parameters()
        try:
            results, stages = batch.answer.result()
        except CancelledError:
            for job in batch.jobs:
                self._count_dropped(job, STOPPED)
            return
        except Exception as error:
            self._survive(error, batch.jobs)
            return
        self._preparation = PREPARATION_MARGIN * (stages.preprocess + sum(job.convert for job in batch.jobs))
        for job, result in zip(batch.jobs, results, strict=True):
            self._publish(job, result, stages, parameters)

    def _publish(self, job: _Job, result: PanopticResult, stages: StageTimes, parameters: NodeParameters) -> None:
        stream = job.stream
        frame = SegmentedFrame(job.frame.message.header, job.image, result)
        try:
            message, publish = stream.publisher.publish(
                frame, self._predictor.name, stream.calibration, parameters.overlay_style, self._note
            )
        except Exception as error:
            # When ROS shuts down, a frame may find its topics gone.
            self._count_dropped(job, FAILED if rclpy.ok() else STOPPED, described(error))
            return
        stream.last = job.frame, frame
        fusion = stages.proposals + stages.fusion + stages.download
        known = job.convert + stages.preprocess + stages.network + fusion + message + publish
        total = time.perf_counter() - job.frame.arrival
        times = FrameTimes(total - known, job.convert, stages.preprocess, stages.network, fusion, message, publish)
        job.is_counted = True
        if stream.statistics.count_segmented(times, parameters.latency_budget):
            self._logger.warning(
                f"{stream.camera.name}: a frame took {times.total:.3f} s, more than latency_budget "
                f"({parameters.latency_budget} s); further ones are counted"
            )

    def _survive(self, error: Exception, jobs: list[_Job]) -> None:
        """After an exception in the network: drop what cannot be segmented, go on if the device still answers."""
        reason = OUT_OF_MEMORY if is_out_of_memory(error) else FAILED
        description = described(error)
        # The traceback's frames hold the tensors that the memory is full of.
        traceback.clear_frames(error.__traceback__)
        self._check_device()
        if reason == OUT_OF_MEMORY and torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(jobs) == 1:
            self._count_dropped(jobs[0], reason, description)
            return
        # Together they were too many, or one of them is to blame: each one by itself.
        for job in jobs:
            self._finish(_Batch([job], self._answer_of([job])))

    def _check_device(self) -> None:
        try:
            self._predictor.check_device()
        except Exception as error:
            if not is_out_of_memory(error):
                raise DeviceLostError(described(error)) from None

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


def is_out_of_memory(error: Exception) -> bool:
    """Did the device or the host have too little memory? PyTorch's allocator for the CPU has no class for it."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def described(error: Exception) -> str:
    """The error with where it was raised, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" (in {last[0].name}, {last[0].filename}:{last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
