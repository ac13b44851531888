# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Write the picture of the handbook: python -m tests.rendering.picture docs/three_dimensions.png."""

from __future__ import annotations

import sys

import cv2
import numpy as np

from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.scene import DepthView, LabelledImage, SceneBuilder
from tests.rendering.drive import Drive
from tests.rendering.sensor import measured_depth
from tests.rendering.truth import labelled_frame
from tests.rendering.view import draw_boxes, draw_points, look_at

TIME = 1.2
HEIGHT, WIDTH = 540, 720
OPACITY = 0.55
"""Of the colours of segments over those of the image."""


def main() -> None:
    """Write the picture."""
    with Drive(HEIGHT, WIDTH) as drive:
        frame = drive.frame(TIME)
        camera = drive.camera
    labelled = labelled_frame(frame)
    palette = np.full((len(labelled.segments) + 1, 3), 128, np.uint8)
    for segment in labelled.segments:
        palette[segment.id] = segment.color
    overlay = cv2.addWeighted(palette[labelled.labels], OPACITY, frame.image, 1 - OPACITY, 0)
    depth = measured_depth(frame.depth, np.random.default_rng(0))
    scene = SceneBuilder().build(
        LabelledImage(labelled.labels, labelled.segments, camera, overlay),
        DepthView(depth, 1e-3, camera, RigidTransform()),
        frame.camera,
        frame.camera.inverse(),
        Panoptic3dParameters(alignment="oriented", gravity_frame="map").scene_settings,
    )
    assert scene.points is not None
    colors = scene.points.view(np.uint8).reshape(len(scene.points), -1)[:, 12:15]
    eye = frame.camera.apply(np.array([3.5, -4.0, -3.5]))
    view = look_at(eye, frame.camera.apply(np.array([0.0, 0.8, 11.0])))
    view_camera = CameraModel(
        HEIGHT, WIDTH, np.array([[560.0, 0, WIDTH / 2], [0, 560, HEIGHT / 2], [0, 0, 1]]), np.zeros(0)
    )
    picture = draw_points(scene.points[:, :3], colors, view_camera, view)
    draw_boxes(picture, scene.objects, view_camera, view)
    cv2.imwrite(sys.argv[1], np.hstack([overlay, picture]))


if __name__ == "__main__":
    main()
