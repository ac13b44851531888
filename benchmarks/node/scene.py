# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`scene`: labelled points and boxes of a frame with 20 things, on one core."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from benchmarks.node.isolated_ros import isolated_ros
from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.publisher import ScenePublisher
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.scene import DepthView, LabelledImage, LidarView, SceneBuilder, SceneSettings

HEIGHT, WIDTH = 720, 1280
THINGS = 20
LIDAR_POINTS = 120_000
STAGES = ("depth", "boxes", "points", "message")
BESIDE = RigidTransform(translation=np.array([0.05, 0.0, 0.0]))
"""Of a depth camera beside the camera."""
NOTES = [
    f"{WIDTH} x {HEIGHT}, {THINGS} things that cover a quarter of the image, noisy 16-bit depth with holes, points in "
    f"the colours of the image; a lidar has {LIDAR_POINTS} points. Times of one core, medians; beside the network.",
    "message: the cloud (24 bytes a point), markers and, with vision_msgs, detections. publish: to no subscriber.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark: none."""


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; a round is a frame of each variant."""
    cv2.setNumThreads(1)
    image, view = synthetic_frame()
    lidar = _lidar_view(image.camera)
    beside = DepthView(view.values, view.metres, view.camera, BESIDE)
    settings = Panoptic3dParameters().scene_settings
    half = Panoptic3dParameters(stride=2).scene_settings
    oriented = Panoptic3dParameters(alignment="oriented").scene_settings
    with isolated_ros():
        node = LifecycleNode("benchmark_scene")
        publisher = ScenePublisher(node, QoSProfile(depth=2), report=lambda kind, times, line: None)
        variants = {
            "all points": _frame(publisher, image, view, settings),
            "every second row and column": _frame(publisher, image, view, half),
            "boxes only": _frame(publisher, image, view, settings, with_points=False),
            "oriented boxes only": _frame(publisher, image, view, oriented, with_points=False),
            "all points, depth of another camera": _frame(publisher, image, beside, settings),
            "lidar": _frame(publisher, image, lidar, settings),
        }
        found = interleaved(variants, benchmark_run.rounds)
    rows = [
        {
            "name": name,
            "objects": frames[0]["objects"],
            "num_points": frames[0]["count"],
            "total": milliseconds([sum(frame[stage] for stage in STAGES) for frame in frames]),
            **{stage: milliseconds([frame[stage] for frame in frames]) for stage in (*STAGES, "publish")},
        }
        for name, frames in found.items()
    ]
    return Results("scene", benchmark_run.conditions, {"rounds": benchmark_run.rounds.counted}, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown."""
    header = ["", "objects", "points", *(f"{stage}, ms" for stage in STAGES), "sum, ms", "publish, ms"]
    lines = [
        [
            row["name"],
            str(row["objects"]),
            str(row["num_points"]),
            *(f"{row[stage]['median']:.1f}" for stage in STAGES),
            spread_cell(row["total"]),
            f"{row['publish']['median']:.1f}",
        ]
        for row in results.rows
    ]
    return markdown_table(header, lines)


def synthetic_frame() -> tuple[LabelledImage, DepthView]:
    """Return a frame with things in front of a wall, which is a stuff segment."""
    rng = np.random.default_rng(0)
    labels = np.full((HEIGHT, WIDTH), 1, np.uint16)
    depth = np.full((HEIGHT, WIDTH), 8000.0)
    segments = [LabelledSegment(1, 1, "wall", False, 1.0, (0, 0, WIDTH, HEIGHT), (90, 90, 90))]
    for index in range(THINGS):
        center = 128 + 256 * (index % 5), 90 + 180 * (index // 5)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        axes = int(rng.integers(45, 96)), int(rng.integers(40, 66))
        cv2.ellipse(mask, center, axes, 0, 0, 360, (1,), cv2.FILLED)
        labels[mask > 0] = index + 2
        depth[mask > 0] = 2000 + 200 * index
        x, y, width, height = cv2.boundingRect(mask)
        segments.append(LabelledSegment(index + 2, 2, "thing", True, 0.9, (x, y, width, height), (0, 0, 200)))
    depth += rng.normal(0, 1e-3 * depth)
    depth[rng.random(depth.shape) < 0.05] = 0
    camera = CameraModel(HEIGHT, WIDTH, np.array([[700.0, 0, 639.5], [0, 700, 359.5], [0, 0, 1]]), np.zeros(0))
    colors = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = LabelledImage(labels, segments, camera, colors)
    return image, DepthView(depth.astype(np.uint16), 1e-3, camera, RigidTransform())


def _lidar_view(camera: CameraModel) -> LidarView:
    rng = np.random.default_rng(1)
    rays = camera.rays[rng.integers(0, HEIGHT, LIDAR_POINTS), rng.integers(0, WIDTH, LIDAR_POINTS)]
    z = rng.uniform(2, 9, (LIDAR_POINTS, 1)).astype(np.float32)
    return LidarView(np.concatenate([rays * z, z], axis=1), (1, LIDAR_POINTS), RigidTransform())


def _frame(
    publisher: ScenePublisher,
    image: LabelledImage,
    view: DepthView | LidarView,
    settings: SceneSettings,
    with_points: bool = True,
) -> Callable[[], dict[str, Any]]:
    """Return a function that builds and publishes a frame, and returns its times in seconds."""
    builder = SceneBuilder()

    def build() -> dict[str, Any]:
        scene = builder.build(image, view, RigidTransform(), None, settings, with_points)
        start = time.perf_counter()
        messages = publisher.messages(Time(), "camera", scene, image.segments, with_everything=True)
        made = time.perf_counter()
        for topic, message in messages:
            topic.publish(message)
        published = time.perf_counter()
        count = 0 if scene.points is None else len(scene.points)
        times = {"depth": scene.times.depth, "boxes": scene.times.boxes, "points": scene.times.points}
        return times | {
            "message": made - start,
            "publish": published - made,
            "objects": len(scene.objects),
            "count": count,
        }

    return build
