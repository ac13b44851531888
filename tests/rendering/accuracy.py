# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Print the accuracy of boxes and lidar labels in the rendered drive: python -m tests.rendering.accuracy."""

from __future__ import annotations

import numpy as np

from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth
from ciae_ros.spatial.lidar_labels import label_lidar_points
from ciae_ros.spatial.objects import MeasuredObject, ObjectSettings, box_axes, measure_in_depth
from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.rendering.drive import Drive, RenderedFrame
from tests.rendering.sensor import measured_depth
from tests.rendering.truth import ObjectErrors, errors_of, labelled_frame, true_objects

TIMES = np.arange(0, 3, 0.1)
SIZES = ((480, 640), (720, 1280))
CAMERA_FROM_LIDAR = RigidTransform(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.0, -0.4, -0.3]))
"""The lidar is 0.4 m above the camera and 0.3 m behind it; its x axis points forwards and its z axis up."""
NEAR = 12.0
"""In metres."""


def lidar_directions() -> np.ndarray:
    """Return unit vectors (n, 3) of a lidar with 64 layers, in front of the car."""
    elevation, azimuth = np.meshgrid(
        np.deg2rad(np.linspace(2, -24.8, 64)), np.deg2rad(np.arange(-60, 60, 0.17)), indexing="ij"
    )
    horizontal = np.cos(elevation)
    rays = horizontal * np.cos(azimuth), horizontal * np.sin(azimuth), np.sin(elevation)
    return np.stack(rays, axis=-1).reshape(-1, 3)


def measured_objects(
    drive: Drive, frame: RenderedFrame, depth: np.ndarray, too_large: int, settings: ObjectSettings | None = None
) -> dict[int, MeasuredObject]:
    """Measure the objects of a frame in the coordinates of the world, by number.

    Args:
        drive: has the camera.
        frame: the frame.
        depth: (H, W) float32 of `clean_depth`.
        too_large: number of pixels by which masks are dilated.
        settings: how they are measured; None for the default.
    """
    labelled = labelled_frame(frame, too_large)
    axes = box_axes("gravity", np.eye(3), frame.camera.rotation.T)
    found = measure_in_depth(
        labelled.labels, depth, drive.camera.rays, labelled.segments, axes, settings or ObjectSettings()
    )
    return {one.segment.track_id: one.transformed(frame.camera) for one in found}


def box_errors(drive: Drive, frames: list[RenderedFrame], too_large: int, noisy: bool) -> list[ObjectErrors]:
    """Compare all objects of all frames with the truth.

    Raises:
        KeyError: a visible object has not been measured.
    """
    rng = np.random.default_rng(0)
    errors = []
    for frame in frames:
        exact = np.where(frame.depth < 60, np.rint(1e3 * frame.depth), 0).astype(np.uint16)
        depth = clean_depth(measured_depth(frame.depth, rng) if noisy else exact, DepthLimits(), 1e-3)
        found, truth = measured_objects(drive, frame, depth, too_large), true_objects(frame, drive.camera)
        errors += [errors_of(found[number], truth[number]) for number in truth]
    return errors


def lidar_quality(drive: Drive, frames: list[RenderedFrame], too_large: int) -> tuple[float, float]:
    """Return the share of labelled points that are on their object, and of points on visible objects with its label."""
    right = labelled = on_objects = 0
    for frame in frames:
        points, truth = drive.scan(frame.time, frame.camera @ CAMERA_FROM_LIDAR, lidar_directions())
        seen = labelled_frame(frame, too_large)
        is_thing = np.array([False, *(segment.is_thing for segment in seen.segments)])
        number = np.array([0, *(segment.track_id for segment in seen.segments)])
        found = label_lidar_points(points, CAMERA_FROM_LIDAR, drive.camera, seen.labels, is_thing)
        numbers = number[found.ids]
        right += int(np.count_nonzero((numbers > 0) & (numbers == truth)))
        labelled += int(np.count_nonzero(numbers))
        on_objects += int(np.count_nonzero(found.visible & (truth > 0)))
    return right / labelled, right / on_objects


def main() -> None:
    """Print the tables."""
    print("| image | depth | masks | objects | position, m | extent, m | position < 12 m | extent < 12 m |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        with Drive(*size) as drive:
            frames = list(drive.frames(TIMES))
            for noisy in (False, True):
                for too_large in (0, 3):
                    errors = box_errors(drive, frames, too_large, noisy)
                    near = [one for one in errors if one.distance < NEAR]
                    cells = [
                        f"{np.median(values):.3f} ({np.percentile(values, 90):.3f})"
                        for chosen in (errors, near)
                        for values in ([one.position for one in chosen], [one.extent for one in chosen])
                    ]
                    kind, masks = ("stereo noise" if noisy else "exact, in mm"), f"{too_large} px too large"
                    print(f"| {size[1]} x {size[0]} | {kind} | {masks} | {len(errors)} | {' | '.join(cells)} |")
            if size == SIZES[0]:
                lidar = {too_large: lidar_quality(drive, frames, too_large) for too_large in (0, 3)}
    print("\n| masks | labelled points on their object | points on visible objects with its label |\n|---|---|---|")
    for too_large, (precision, recall) in lidar.items():
        print(f"| {too_large} px too large | {precision:.1%} | {recall:.1%} |")


if __name__ == "__main__":
    main()
