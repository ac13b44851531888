# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The parameters of `panoptic_3d`: defaults, descriptions, ranges and choices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ciae_ros.camera.camera_image import MAX_PIXELS
from ciae_ros.camera.camera_topics import camera_info_topic
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.fields import RELIABILITIES, ParameterSet, parameter
from ciae_ros.spatial.boxes import ALIGNMENTS, Alignment, BoxSettings
from ciae_ros.spatial.category_groups import CategoryGroups, CategoryGroupsError
from ciae_ros.spatial.depth_cleaning import DepthLimits
from ciae_ros.spatial.object_range import DepthGap
from ciae_ros.spatial.objects import ObjectSettings
from ciae_ros.spatial.scene import SceneSettings
from ciae_ros.spatial.segment_pixels import MaskTrimming

COMPRESSED_DEPTH_SUFFIX = "/compressedDepth"
"""Suffix of image_transport's topics of compressed depth images."""
HALF_A_FRAME = -1.0
"""Value of `sync.max_difference` for half of the interval between depth images."""


@dataclass(frozen=True)
class Panoptic3dParameters(ParameterSet):
    """All parameters of `panoptic_3d`; `config/panoptic_3d.yaml` lists them with comments."""

    outputs: str = parameter(
        "panoptic_node",
        "Namespace of the camera's outputs of panoptic_node, of which labels, segments and camera_info are used.",
    )
    depth: str = parameter(
        "depth/image_rect_raw",
        "Topic of depth images (16UC1 in depth.unit, or 32FC1 in metres); names that end in /compressedDepth are "
        "sensor_msgs/CompressedImage. Empty: points are used instead.",
    )
    depth_info: str = parameter(
        "", "Topic of the CameraInfo of the depth images; empty: camera_info next to their topic."
    )
    points: str = parameter("", "Topic of a lidar's sensor_msgs/PointCloud2, used instead of depth images if set.")
    image: str = parameter(
        "",
        "Topic of the images that colour the points; empty: they have the colours of their segments.",
    )
    rectified: bool = parameter(
        False, "The images are rectified, so that the projection P of their CameraInfo applies, without distortion."
    )
    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.")

    max_difference: float = parameter(
        HALF_A_FRAME,
        "Largest difference in seconds between the stamps of labels and depth that are not equal; 0: only equal "
        "stamps; below 0: half of the interval between depth images or clouds, as measured, at most 0.1 s.",
        name="sync.max_difference",
        limits=(-1.0, 1.0),
        changeable=True,
    )
    queue_size: int = parameter(
        20,
        "Depth images or clouds that are kept until their labels arrive: the latency of the network, in frames.",
        name="sync.queue_size",
        limits=(1, 1000),
    )
    sync_timeout: float = parameter(
        0.5,
        "Seconds that labels wait for depth, calibrations and transforms before they are dropped.",
        name="sync.timeout",
        limits=(0.0, 60.0),
        changeable=True,
    )

    output_frame: str = parameter(
        "", "Frame of the results, at the time of the image; empty: that of the camera, or of the lidar."
    )
    gravity_frame: str = parameter("", "Frame whose z axis is up, such as base_link, odom or map; empty: none.")
    fixed_frame: str = parameter(
        "",
        "Frame that does not move, such as odom or map, through which depth of another time than the image is "
        "transformed; empty: the time of the image is used for both.",
    )

    nearest: float = parameter(
        DepthLimits.nearest,
        "Smallest depth in metres.",
        name="depth.nearest",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    farthest: float = parameter(
        DepthLimits.farthest,
        "Largest depth in metres.",
        name="depth.farthest",
        limits=(0.0, 10000.0),
        changeable=True,
    )
    unit: float = parameter(
        0.001, "Length in metres of the unit of 16-bit depth images.", name="depth.unit", limits=(1e-6, 1.0)
    )
    flying_pixel_step: float = parameter(
        DepthLimits.flying_pixel_step,
        "Relative difference in depth from both neighbours above which a pixel lies between two surfaces and is "
        "removed; 0: never.",
        name="depth.flying_pixel_step",
        limits=(0.0, 1.0),
        changeable=True,
    )
    max_pixels: int = parameter(
        MAX_PIXELS,
        "Maximum number of pixels or points; larger images and clouds are dropped.",
        limits=(1, 1_000_000_000),
    )
    latency_budget: float = parameter(
        0.0,
        "Maximum seconds from the arrival of labels to the published results; more is reported. 0: unlimited.",
        limits=(0.0, 3600.0),
        changeable=True,
    )

    organised: bool = parameter(
        False,
        "Points form an image, or the rows of the lidar's cloud, with NaN where nothing was measured; otherwise there "
        "are only measured points, and of a lidar only those that the camera sees.",
        name="points.organised",
        changeable=True,
    )
    stride: int = parameter(
        1,
        "Use each STRIDE-th row and column of a depth image for points; boxes use all pixels.",
        name="points.stride",
        limits=(1, 100),
        changeable=True,
    )
    unlabelled: bool = parameter(
        True, "Publish points without a segment, too.", name="points.unlabelled", changeable=True
    )
    packed_label: bool = parameter(
        False,
        "Points have a field label, too: category << 16 | instance, as Hydra reads it.",
        name="points.packed_label",
    )

    groups: str = parameter(
        "",
        "YAML file of groups of categories, such as config/navigation_groups.yaml; the points of each are published on "
        "~/points/NAME. Empty: none.",
    )

    alignment: Alignment = parameter(
        "camera",
        "Axes of boxes: camera; gravity: those of gravity_frame; oriented: upright, along the object.",
        name="boxes.alignment",
        choices=ALIGNMENTS,
    )
    min_points: int = parameter(
        BoxSettings.min_points,
        "Smallest number of measured points of an object with a box.",
        name="boxes.min_points",
        limits=(1, 1_000_000),
        changeable=True,
    )
    min_share: float = parameter(
        BoxSettings.min_share,
        "Smallest share of the pixels of an object with a box that are measured and on its surface.",
        name="boxes.min_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    tail: float = parameter(
        BoxSettings.tail,
        "Share of an object's points that may be outside of its box at each side.",
        name="boxes.tail",
        limits=(0.0, 0.45),
        changeable=True,
    )
    mask_border: int = parameter(
        MaskTrimming.border,
        "Width in pixels of the border of a mask whose pixels must continue the object's surface in depth.",
        name="boxes.mask_border",
        limits=(0, 50),
        changeable=True,
    )
    surface_step: float = parameter(
        MaskTrimming.surface_step,
        "Relative difference in depth between neighbouring pixels of a surface that is always allowed; noise allows "
        "up to 0.025.",
        name="boxes.surface_step",
        limits=(0.0, 1.0),
        changeable=True,
    )
    gap: float = parameter(
        DepthGap.metres,
        "Difference in metres between successive depths within a mask above which they belong to different things; "
        "2 % of the depth are added.",
        name="boxes.gap",
        limits=(0.0, 100.0),
        changeable=True,
    )

    input_reliability: str = parameter(
        "best_effort",
        "Reliability of the subscriptions of depth, points and images.",
        name="qos.input_reliability",
        choices=RELIABILITIES,
    )
    output_reliability: str = parameter(
        "reliable",
        "Reliability of the publishers; reliable also reaches best-effort subscribers.",
        name="qos.output_reliability",
        choices=RELIABILITIES,
    )
    output_depth: int = parameter(
        2, "Results kept for a slow reliable subscriber.", name="qos.output_depth", limits=(1, 100)
    )

    stop_timeout: float = parameter(
        5.0,
        "Seconds that deactivation, cleanup and shutdown wait for the current frame before the process ends with "
        "exit code 75.",
        name="timeouts.stop",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    stale_after: float = parameter(
        5.0,
        "Seconds without labels after which the node is STALE.",
        name="diagnostics.stale_after",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    min_rate: float = parameter(
        0.0,
        "Results per second below which the node is WARN; 0: never.",
        name="diagnostics.min_rate",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    warn_bad_share: float = parameter(
        0.0,
        "Share of recent frames that could not be used above which the node is WARN.",
        name="diagnostics.warn_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    error_bad_share: float = parameter(
        0.5,
        "Share that could not be used above which it is ERROR.",
        name="diagnostics.error_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    status_period: float = parameter(
        10.0,
        "Seconds between status lines (JSON) in the log; 0: none.",
        name="diagnostics.status_period",
        limits=(0.0, 3600.0),
        changeable=True,
    )

    def check(self) -> None:
        """Refuse combinations that cannot work.

        Raises:
            ParameterError: neither depth nor points has a topic, gravity is needed but unknown, no depth is valid, or
                the groups cannot be read.
        """
        _ = self.category_groups
        if not self.depth and not self.points:
            raise ParameterError("parameter depth: give a topic of depth images, or one of points")
        if self.alignment == "gravity" and not self.gravity_frame:
            raise ParameterError("parameter boxes.alignment: gravity needs gravity_frame, a frame whose z axis is up")
        if self.nearest >= self.farthest:
            raise ParameterError(
                f"parameter depth.nearest: {self.nearest} must be less than depth.farthest ({self.farthest})"
            )

    @property
    def category_groups(self) -> CategoryGroups | None:
        """Groups of categories; None if there are none.

        Raises:
            ParameterError: the file cannot be read, or its content is invalid.
        """
        try:
            return CategoryGroups.load(Path(self.groups).expanduser()) if self.groups else None
        except (CategoryGroupsError, RuntimeError) as error:
            raise ParameterError(f"parameter groups: {error}") from None

    @property
    def is_depth_compressed(self) -> bool:
        return self.depth.endswith(COMPRESSED_DEPTH_SUFFIX)

    @property
    def depth_info_topic(self) -> str:
        """Topic of the calibration of the depth images."""
        return self.depth_info or camera_info_topic(self.depth.removesuffix(COMPRESSED_DEPTH_SUFFIX))

    @property
    def scene_settings(self) -> SceneSettings:
        """What is made of a frame."""
        trimming = MaskTrimming(self.mask_border, self.surface_step, DepthGap(self.gap))
        return SceneSettings(
            limits=DepthLimits(self.nearest, self.farthest, self.flying_pixel_step),
            objects=ObjectSettings(BoxSettings(self.min_points, self.min_share, self.tail), trimming),
            alignment=self.alignment,
            organised=self.organised,
            stride=self.stride,
            unlabelled=self.unlabelled,
            packed_label=self.packed_label,
        )
