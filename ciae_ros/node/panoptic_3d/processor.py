# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The thread that turns labelled frames into points and objects."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import PointCloud2

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.node.diagnostics.frame_statistics import (
    CLOCK_JUMP,
    FAILED,
    STOPPED,
    SUPERSEDED,
    FrameStatistics,
    StageDurations,
)
from ciae_ros.node.errors import describe_error
from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.frame_assembly import (
    AssembledFrame,
    CameraModels,
    FrameAssembly,
    IncompleteFrameError,
)
from ciae_ros.node.panoptic_3d.frame_source import LabelSource, read_colors, read_depth_message
from ciae_ros.node.panoptic_3d.publisher import ScenePublisher
from ciae_ros.spatial.camera_model import UnusableCalibrationError
from ciae_ros.spatial.cloud_reading import UnusableCloudError, read_coordinates
from ciae_ros.spatial.scene import DepthView, LabelledImage, LidarView, Scene, SceneBuilder

WAITING = 10
"""Maximum number of frames that wait for depth, calibrations and transforms; with more, the oldest is dropped."""
RETRY_PERIOD = 0.05
"""Seconds after which a waiting frame is tried again even if nothing has arrived."""


@dataclass(frozen=True)
class FrameTimes3d(StageDurations):
    """Seconds that a labelled frame spent in each stage."""

    wait: float
    """Waiting for depth, calibrations and transforms, and for the previous frame."""
    convert: float
    """Reading of the messages."""
    depth: float
    points: float
    boxes: float
    publish: float
    """Making and publishing messages."""


@dataclass(frozen=True)
class _WaitingFrame:
    source: LabelSource
    arrival: float
    """time.perf_counter() when it was received."""


class FrameProcessor:
    """Processes the newest frame that has all it needs, on its own thread, until it is stopped."""

    def __init__(
        self,
        parameters: Callable[[], Panoptic3dParameters],
        assembly: FrameAssembly,
        publisher: ScenePublisher,
        statistics: FrameStatistics,
        logger: RcutilsLogger,
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """Start the thread.

        Args:
            parameters: returns the current parameters.
            assembly: has what frames need.
            publisher: publishes the results.
            statistics: counts frames.
            logger: logs dropped frames, once for each reason.
            on_fatal: called with an internal error, after which the thread ends.
        """
        self._parameters, self._assembly, self._publisher = parameters, assembly, publisher
        self._statistics, self._logger, self._on_fatal = statistics, logger, on_fatal
        self._builder, self._models = SceneBuilder(), CameraModels()
        self._changed = threading.Condition()
        self._waiting: deque[_WaitingFrame] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ciae-3d", daemon=True)
        self._thread.start()

    def put(self, source: LabelSource) -> None:
        """Add a labelled frame. Thread-safe."""
        self._statistics.count_received()
        with self._changed:
            if self._stopped:
                self._statistics.count_dropped(STOPPED)
                return
            self._waiting.append(_WaitingFrame(source, time.perf_counter()))
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._statistics.count_dropped(SUPERSEDED)
            self._changed.notify()

    def wake(self) -> None:
        """Try the waiting frames again, as something has arrived. Thread-safe."""
        with self._changed:
            self._changed.notify()

    def drop_waiting(self, reason: str) -> None:
        """Drop the waiting frames. Thread-safe."""
        with self._changed:
            for _ in range(len(self._waiting)):
                self._statistics.count_dropped(reason)
            self._waiting.clear()

    def on_clock_jump(self) -> None:
        """Forget all that was received before a backward jump of the clock."""
        self.drop_waiting(CLOCK_JUMP)
        self._assembly.clear()

    def stop(self, timeout: float) -> bool:
        """Stop after the current frame; waiting ones are dropped.

        Returns:
            False if it has not finished within the timeout.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self.drop_waiting(STOPPED)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (found := self._take()) is not None:
                self._process(*found)
        except Exception as error:
            self._on_fatal(RuntimeError(describe_error(error)))

    def _take(self) -> tuple[_WaitingFrame, AssembledFrame] | None:
        """Wait for a frame that has all it needs; None after the end."""
        with self._changed:
            while not self._stopped:
                found = self._newest_complete()
                if found is not None:
                    return found
                self._changed.wait(RETRY_PERIOD if self._waiting else None)
        return None

    def _newest_complete(self) -> tuple[_WaitingFrame, AssembledFrame] | None:
        """Return the newest frame that is complete, and drop older ones and those that will not be."""
        for frame in reversed(self._waiting):
            is_last_try = time.perf_counter() - frame.arrival >= self._parameters().sync_timeout
            try:
                found = self._assembly.assemble(frame.source, self._publisher.wants_colors, is_last_try)
            except IncompleteFrameError as error:
                if is_last_try or not error.may_arrive:
                    self._waiting.remove(frame)
                    self._drop(error.kind, str(error))
                    return self._newest_complete()
                continue
            while self._waiting[0] is not frame:
                self._waiting.popleft()
                self._statistics.count_dropped(SUPERSEDED)
            self._waiting.popleft()
            return frame, found
        return None

    def _process(self, frame: _WaitingFrame, found: AssembledFrame) -> None:
        start = time.perf_counter()
        try:
            image, view = self._read(found)
            converted = time.perf_counter()
            scene = self._build(found, image, view)
            built = time.perf_counter()
            self._publisher.publish(found.source.header.stamp, found.result_frame, scene, image.segments)
        except UnusableImageError as error:
            self._drop(error.kind, str(error))
            return
        except UnusableCloudError as error:
            self._drop("unusable cloud", str(error))
            return
        except UnusableCalibrationError as error:
            self._drop("unusable calibration", str(error))
            return
        except Exception as error:  # A single frame must not end the stream.
            # During shutdown of ROS, the publishers may be gone.
            self._drop(FAILED if rclpy.ok() else STOPPED, describe_error(error))
            return
        times = FrameTimes3d(
            wait=start - frame.arrival,
            convert=converted - start,
            depth=scene.times.depth,
            points=scene.times.points,
            boxes=scene.times.boxes,
            publish=time.perf_counter() - built,
        )
        budget = self._parameters().latency_budget
        if self._statistics.count_segmented(times, budget):
            self._logger.warning(
                f"a frame took {times.total:.3f} s, more than latency_budget ({budget} s); further ones are counted"
            )

    def _read(self, found: AssembledFrame) -> tuple[LabelledImage, DepthView | LidarView]:
        """Read the messages of a frame."""
        parameters = self._parameters()
        labels, segments = found.source.read()
        camera = self._models.get(found.calibration, labels.shape, parameters.rectified)
        colors = self._read_colors(found, parameters) if self._publisher.wants_colors else None
        image = LabelledImage(labels, segments, camera, colors)
        if isinstance(found.depth, PointCloud2):
            points = read_coordinates(found.depth, parameters.max_pixels)
            shape = found.depth.height, found.depth.width
            return image, LidarView(points, shape, found.camera_from_depth)
        depth = read_depth_message(found.depth, parameters.unit, parameters.max_pixels)
        assert found.depth_calibration is not None
        camera = self._models.get(found.depth_calibration, depth.values.shape, parameters.rectified)
        return image, DepthView(depth.values, depth.metres, camera, found.camera_from_depth)

    def _read_colors(self, found: AssembledFrame, parameters: Panoptic3dParameters) -> np.ndarray | None:
        if found.colors is not None:
            return read_colors(found.colors, parameters.max_pixels)
        return found.source.colors() if found.source.colors is not None and parameters.image else None

    def _build(self, found: AssembledFrame, image: LabelledImage, view: DepthView | LidarView) -> Scene:
        return self._builder.build(
            image,
            view,
            found.result_from_camera,
            found.camera_from_gravity,
            self._parameters().scene_settings,
            self._publisher.wants_points,
        )

    def _drop(self, reason: str, description: str) -> None:
        if self._statistics.count_dropped(reason) and reason != STOPPED:
            self._logger.warning(f"dropped a frame ({reason}; further ones are counted): {description}")
