# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Write the picture at the top of the handbook: python -m tests.rendering.overview MODEL docs/overview.png.

The model was trained on other rendered streets (`tests.rendering.street_data`).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import cv2
import numpy as np

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference import Predictor, load_model
from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.same_process import labelled_segments
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.scene import DepthView, LabelledImage, Scene, SceneBuilder
from ciae_ros.tracking.tracker import Tracker
from ciae_ros.visualization import OverlayStyle, draw_overlay
from tests.rendering.drive import CATEGORIES, Drive, RenderedFrame
from tests.rendering.sensor import measured_depth
from tests.rendering.view import BACKGROUND, draw_boxes, draw_points, look_at

START, SECONDS, RATE = 0.2, 2.0, 10
HEIGHT, WIDTH = 480, 640
MAP_SCALE = 18
"""Pixels per metre of the view from above."""
MIN_FRAMES = 8
"""Number of frames from which on a track is drawn."""
TrackPath = list[tuple[np.ndarray, tuple[int, int, int]]]
"""The places of an object with its colours in the picture."""


def recolored(result: PanopticResult) -> PanopticResult:
    """Return the result with the colours of the rendered categories; those of the model's file are arbitrary."""
    colors = {category.name: category.color for category in CATEGORIES}
    segments = (
        replace(one, category=replace(one.category, color=colors[one.category.name])) for one in result.segments
    )
    return replace(result, segments=tuple(segments))


def build_scene(frame: RenderedFrame, result: PanopticResult, camera: CameraModel, builder: SceneBuilder) -> Scene:
    """Build the scene of a frame, whose depth has the noise of a stereo camera, in the coordinates of the world."""
    depth = measured_depth(frame.depth, np.random.default_rng(0))
    settings = Panoptic3dParameters(alignment="oriented", gravity_frame="map").scene_settings
    image = LabelledImage(result.label_map, labelled_segments(result), camera)
    view = DepthView(depth, 1e-3, camera, RigidTransform())
    return builder.build(image, view, frame.camera, frame.camera.inverse(), settings)


def draw_scene(scene: Scene, frame: RenderedFrame) -> np.ndarray:
    """Draw points and boxes from behind and above the camera."""
    assert scene.points is not None
    colors = scene.points.view(np.uint8).reshape(len(scene.points), -1)[:, 12:15]
    view = look_at(frame.camera.apply(np.array([2.5, -4.0, -4.0])), frame.camera.apply(np.array([0.0, 0.5, 11.0])))
    camera = CameraModel(HEIGHT, WIDTH, np.array([[500.0, 0, WIDTH / 2], [0, 500, HEIGHT / 2], [0, 0, 1]]), np.zeros(0))
    picture = draw_points(scene.points[:, :3], colors, camera, view)
    draw_boxes(picture, scene.objects, camera, view)
    return picture


def draw_tracks(paths: dict[int, TrackPath], camera: np.ndarray) -> np.ndarray:
    """Draw the paths of the objects, and of the camera (N, 3), from above; x is to the right, y upwards."""
    picture = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)

    def pixel(place: np.ndarray) -> tuple[int, int]:
        return round(40 + MAP_SCALE * float(place[0])), round(HEIGHT / 2 - MAP_SCALE * float(place[1]))

    cv2.polylines(picture, [np.array([pixel(place) for place in camera])], False, (90, 90, 90), 2, cv2.LINE_AA)
    cv2.circle(picture, pixel(camera[-1]), 7, (90, 90, 90), cv2.FILLED, cv2.LINE_AA)
    cv2.putText(picture, "camera", (8, 30 + HEIGHT // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA)
    for track_id, path in paths.items():
        if len(path) < MIN_FRAMES:
            continue
        places, color = [pixel(place) for place, _ in path], path[-1][1]
        cv2.polylines(picture, [np.array(places)], False, color, 3, cv2.LINE_AA)
        cv2.circle(picture, places[-1], 6, color, cv2.FILLED, cv2.LINE_AA)
        x, y = places[-1]
        # Ahead of the object, where its path is not.
        x += 10 if x >= places[0][0] else -36
        cv2.putText(picture, f"#{track_id}", (x, y + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, 2, cv2.LINE_AA)
    return picture


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """Write a title above a picture."""
    bar = np.full((30, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, title, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([bar, picture])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("picture")
    arguments = parser.parse_args()
    predictor, tracker, builder = Predictor(load_model(arguments.model)), Tracker(), SceneBuilder()
    paths: dict[int, TrackPath] = {}
    places = []
    with Drive(HEIGHT, WIDTH) as drive:
        for frame in drive.frames(np.arange(START, START + SECONDS, 1 / RATE)):
            segmented = recolored(predictor.predict(frame.image, "bgr"))
            result = tracker.update(segmented, frame.time, frame.image)
            scene = build_scene(frame, result, drive.camera, builder)
            places.append(frame.camera.translation)
            for one in scene.objects:
                paths.setdefault(one.segment.track_id, []).append((one.box.position, one.segment.color))
        panels = (
            (frame.image, "camera (rendered)"),
            (draw_overlay(frame.image, result, OverlayStyle(opacity=0.75)), "panoptic map, with track ids"),
            (draw_scene(scene, frame), "labelled points and boxes, from noisy depth"),
            (draw_tracks(paths, np.array(places)), f"tracks of {SECONDS:g} s, from above"),
        )
    a, b, c, d = (titled(*panel) for panel in panels)
    cv2.imwrite(arguments.picture, np.vstack([np.hstack([a, b]), np.hstack([c, d])]))


if __name__ == "__main__":
    main()
