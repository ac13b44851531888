# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Collection of all that a frame needs: depth of its time, calibrations and transforms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.frame_matcher import DepthBuffer
from ciae_ros.node.panoptic_3d.frame_source import DepthMessage, LabelSource
from ciae_ros.node.stamps import nanoseconds
from ciae_ros.spatial.camera_model import CameraModel, camera_model
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.transform_buffer import NoTransformError, TransformBuffer

NO_DEPTH = "no depth"
"""Drop reason: no depth image or cloud has a stamp within `sync.max_difference` of the labels."""
NO_CALIBRATION = "no calibration"
"""Drop reason: no CameraInfo has been received."""
NO_TRANSFORM = "no transform"
"""Drop reason: a transform is not known at the time of the image."""
NO_IMAGE = "no image"
"""Drop reason: the image that colours the points has not been received."""


class IncompleteFrameError(Exception):
    """Something that a frame needs is missing."""

    def __init__(self, kind: str, reason: str, may_arrive: bool) -> None:
        super().__init__(reason)
        self.kind = kind
        """Drop reason."""
        self.may_arrive = may_arrive
        """Whether it is worth to wait for it."""


@dataclass(frozen=True)
class AssembledFrame:
    """A frame with all that it needs."""

    source: LabelSource
    depth: DepthMessage
    calibration: CameraInfo
    depth_calibration: CameraInfo | None
    """None for a cloud."""
    camera_from_depth: RigidTransform
    """Of the coordinates of the depth camera or lidar to those of the camera."""
    result_from_camera: RigidTransform
    result_frame: str
    camera_from_gravity: RigidTransform | None
    colors: Image | CompressedImage | None


class FrameAssembly:
    """Keeps what has been received, and assembles frames from it. Thread-safe."""

    def __init__(self, parameters: Callable[[], Panoptic3dParameters], transforms: TransformBuffer) -> None:
        """Create it.

        Args:
            parameters: returns the current parameters.
            transforms: transforms between frames.
        """
        self._parameters, self._transforms = parameters, transforms
        size = parameters().queue_size
        self._depth: DepthBuffer[DepthMessage] = DepthBuffer(size)
        self._images: DepthBuffer[Image | CompressedImage] = DepthBuffer(size)
        self._calibration: CameraInfo | None = None
        self._depth_calibration: CameraInfo | None = None
        self._lock = threading.Lock()

    def put_depth(self, message: DepthMessage) -> None:
        """Add a depth image or a cloud."""
        with self._lock:
            self._depth.put(nanoseconds(message.header.stamp), message)

    def put_image(self, message: Image | CompressedImage) -> None:
        """Add an image that colours points."""
        with self._lock:
            self._images.put(nanoseconds(message.header.stamp), message)

    def put_calibration(self, message: CameraInfo) -> None:
        """Set the calibration of the camera of the labels."""
        self._calibration = message

    def put_depth_calibration(self, message: CameraInfo) -> None:
        """Set the calibration of the depth camera."""
        self._depth_calibration = message

    def clear(self) -> None:
        """Forget images, clouds and moving transforms after a backward jump of the clock."""
        with self._lock:
            self._depth.clear()
            self._images.clear()
        self._transforms.clear()

    def assemble(self, source: LabelSource, with_colors: bool, is_last_try: bool) -> AssembledFrame:
        """Return the frame of a label image.

        Args:
            source: the label image.
            with_colors: whether the image that colours the points is needed.
            is_last_try: do not wait for depth that could be nearer in time than what has been received.

        Raises:
            IncompleteFrameError: something is missing.
        """
        parameters = self._parameters()
        stamp, frame = nanoseconds(source.header.stamp), source.header.frame_id
        calibration = source.calibration or self._calibration
        if calibration is None:
            reason = f"no CameraInfo on {parameters.outputs}/camera_info: does the camera publish its calibration?"
            raise IncompleteFrameError(NO_CALIBRATION, reason, may_arrive=True)
        depth_stamp, depth = self._matching_depth(stamp, parameters, is_last_try)
        depth_calibration = None if isinstance(depth, PointCloud2) else self._depth_calibration
        if depth_calibration is None and not isinstance(depth, PointCloud2):
            reason = f"no CameraInfo on {parameters.depth_info_topic}: set depth_info"
            raise IncompleteFrameError(NO_CALIBRATION, reason, may_arrive=True)
        result_frame = parameters.output_frame or (depth.header.frame_id if isinstance(depth, PointCloud2) else frame)
        try:
            camera_from_depth = self._camera_from_depth(frame, stamp, depth, depth_stamp, parameters.fixed_frame)
            if parameters.output_frame or not isinstance(depth, PointCloud2):
                result_from_camera = self._transforms.lookup(result_frame, frame, stamp)
            else:
                result_from_camera = camera_from_depth.inverse()
            gravity = parameters.gravity_frame
            camera_from_gravity = self._transforms.lookup(frame, gravity, stamp) if gravity else None
        except NoTransformError as error:
            raise IncompleteFrameError(NO_TRANSFORM, str(error), error.may_arrive) from None
        return AssembledFrame(
            source=source,
            depth=depth,
            calibration=calibration,
            depth_calibration=depth_calibration,
            camera_from_depth=camera_from_depth,
            result_from_camera=result_from_camera,
            result_frame=result_frame,
            camera_from_gravity=camera_from_gravity,
            colors=self._matching_image(source, stamp, parameters) if with_colors else None,
        )

    def _matching_depth(
        self, stamp: int, parameters: Panoptic3dParameters, is_last_try: bool
    ) -> tuple[int, DepthMessage]:
        with self._lock:
            bound = parameters.max_difference
            allowed = round(1e9 * bound) if bound >= 0 else self._depth.half_a_frame
            # Of equal stamps there is no nearer one; otherwise a later image may be nearer.
            must_equal = self._depth.may_match_later(stamp) and not is_last_try
            match = self._depth.match(stamp, 0 if must_equal else allowed)
            if match is not None:
                return match
            topic = parameters.points or parameters.depth
            reason = f"nothing on {topic} has a stamp within {allowed / 1e9:.4f} s of the labels (sync.max_difference)"
            raise IncompleteFrameError(NO_DEPTH, reason, may_arrive=self._depth.may_match_later(stamp))

    def _camera_from_depth(
        self, frame: str, stamp: int, depth: DepthMessage, depth_stamp: int, fixed: str
    ) -> RigidTransform:
        if fixed and depth_stamp != stamp:
            return self._transforms.lookup_through(frame, stamp, depth.header.frame_id, depth_stamp, fixed)
        return self._transforms.lookup(frame, depth.header.frame_id, stamp)

    def _matching_image(
        self, source: LabelSource, stamp: int, parameters: Panoptic3dParameters
    ) -> Image | CompressedImage | None:
        if source.colors is not None or not parameters.image:
            return None
        with self._lock:
            match = self._images.match(stamp, 0)
            if match is None:
                reason = f"no image on {parameters.image} has the stamp of the labels"
                raise IncompleteFrameError(NO_IMAGE, reason, may_arrive=self._images.may_match_later(stamp))
            return match[1]


class CameraModels:
    """The models of calibrations, of which the last ones are kept because their rays take time."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], CameraModel] = {}

    def get(self, info: CameraInfo, size: tuple[int, ...], rectified: bool) -> CameraModel:
        """Return the model of the camera of an image with a size (H, W).

        Raises:
            UnusableCalibrationError: the calibration does not describe the image.
        """
        region = info.roi.x_offset, info.roi.y_offset, info.roi.height, info.roi.width
        sizes = info.height, info.width, info.binning_x, info.binning_y, *size
        key = *region, *sizes, tuple(info.k), tuple(info.p), tuple(info.d), info.distortion_model, rectified
        if key not in self._known:
            if len(self._known) >= 4:
                self._known.clear()
            self._known[key] = camera_model(info, size[0], size[1], rectified)
        return self._known[key]
