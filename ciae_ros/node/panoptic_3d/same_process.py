# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labels of a `panoptic_node` in the same process, which no message carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sensor_msgs.msg import CameraInfo

from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_display import segment_color
from ciae_ros.node.camera_calibration import labels_camera_info
from ciae_ros.node.cameras import Camera
from ciae_ros.node.lifecycle.process_end import ProcessEnd
from ciae_ros.node.model_loading import LoadPredictor
from ciae_ros.node.panoptic_3d.frame_source import LabelSource
from ciae_ros.node.panoptic_3d.node import Panoptic3dNode
from ciae_ros.node.panoptic_node import PanopticNode
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.publishing.result_publisher import SegmentedFrame
from ciae_ros.spatial.point_layout import LabelledSegment


def create_both(
    load: LoadPredictor, end: ProcessEnd, arguments_3d: Sequence[str]
) -> tuple[PanopticNode, Panoptic3dNode]:
    """Create `panoptic_node` and `panoptic_3d`, which gets the labels of the camera that its `outputs` name.

    Args:
        load: creates the predictor of `panoptic_node`.
        end: the end of their process.
        arguments_3d: ROS arguments of `panoptic_3d`; the global ones are those of `panoptic_node`.

    Raises:
        ParameterError: a parameter is invalid.
    """
    options: dict[str, Any] = {"cli_args": list(arguments_3d), "use_global_arguments": False}
    panoptic_3d = Panoptic3dNode(end, with_labels=False, **options)

    def on_result(camera: Camera, frame: SegmentedFrame, calibration: CameraInfo | None) -> None:
        if panoptic_node.resolve_topic_name(camera.output("labels")) == panoptic_3d.label_topic:
            panoptic_3d.put(_label_source(frame, calibration))

    try:
        panoptic_node = PanopticNode(load, end, on_result)
    except ParameterError:
        panoptic_3d.destroy_node()
        raise
    return panoptic_node, panoptic_3d


def _label_source(frame: SegmentedFrame, calibration: CameraInfo | None) -> LabelSource:
    result = frame.result
    info = None
    if calibration is not None:
        info = labels_camera_info(calibration, frame.header, frame.image.pixels.shape[:2], result.label_map.shape)
    return LabelSource(
        header=frame.header,
        read=lambda: (result.label_map, labelled_segments(result)),
        calibration=info,
        colors=frame.image.to_bgr,
    )


def labelled_segments(result: PanopticResult) -> list[LabelledSegment]:
    """Return the segments of a result with their colours, in the order of their ids from 1."""
    return [
        LabelledSegment(
            id=segment.id,
            category_id=segment.category.id,
            category_name=segment.category.name,
            is_thing=segment.category.is_thing,
            score=segment.score,
            box=segment.box,
            color=segment_color(segment.track_id or segment.id, segment.category),
            track_id=segment.track_id,
        )
        for segment in result.segments
    ]
