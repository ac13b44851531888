# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A drive along a street with moving objects: images, depth, masks and poses without any error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform, quaternion_of

FIELD_OF_VIEW = 55.0
"""Vertical, in degrees."""
CAMERA_HEIGHT = 1.5
"""In metres."""
SPEED = 3.0
"""Of the camera, in m/s."""
LIDAR_RANGE = 60.0
"""In metres."""
OPTICAL = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's camera axes (x right, y up, z backwards) in those of ROS (x right, y down, z forwards)."""

CATEGORIES = tuple(
    Category(number, name, is_thing, color)
    for number, (name, is_thing, color) in enumerate(
        (
            ("road", False, (128, 64, 128)),
            ("building", False, (70, 70, 70)),
            ("sky", False, (70, 130, 180)),
            ("car", True, (0, 0, 142)),
            ("person", True, (220, 20, 60)),
        ),
        start=1,
    )
)
"""Categories of the scene; ids as in the label images."""
ROAD, BUILDING, SKY, CAR, PERSON = CATEGORIES


@dataclass(frozen=True)
class MovingObject:
    """An object that moves at a constant velocity."""

    category: Category
    start: tuple[float, float]
    """x and y in metres, on the ground, at time 0; x is along the street."""
    velocity: tuple[float, float]
    """In m/s."""
    color: tuple[float, float, float]

    @property
    def heading(self) -> float:
        """Angle of the velocity about the vertical, in radians."""
        return float(np.arctan2(self.velocity[1], self.velocity[0]))

    def pose(self, time: float) -> RigidTransform:
        """Return the transform of the object's coordinates, with the origin on the ground, to those of the world."""
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        x, y = (start + time * speed for start, speed in zip(self.start, self.velocity, strict=True))
        return RigidTransform(rotation, np.array([x, y, 0.0]))


OBJECTS = (
    MovingObject(CAR, (9.0, -1.8), (4.0, 0.0), (0.75, 0.1, 0.1)),
    MovingObject(CAR, (26.0, 1.9), (-4.0, 0.0), (0.15, 0.3, 0.75)),
    MovingObject(CAR, (17.0, -2.0), (6.0, 0.4), (0.85, 0.8, 0.25)),
    MovingObject(PERSON, (8.0, 3.6), (1.2, -0.3), (0.2, 0.6, 0.3)),
    MovingObject(PERSON, (13.0, -4.4), (0.9, 0.35), (0.8, 0.5, 0.2)),
    MovingObject(PERSON, (11.0, 4.6), (-0.6, -0.5), (0.5, 0.25, 0.6)),
)
"""Moving objects; their masks have the ids from 1 on."""


@dataclass(frozen=True)
class RenderedFrame:
    """A frame of the drive with its ground truth."""

    time: float
    """In seconds since the start."""
    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    depth: np.ndarray
    """(H, W) float32 metres along the optical axis; the sky is farther than 100 m."""
    objects: np.ndarray
    """(H, W) uint8 numbers of the moving objects from 1; 0 elsewhere."""
    stuff: np.ndarray
    """(H, W) uint8 ids of the stuff categories where there is no object; 0 elsewhere."""
    camera: RigidTransform
    """Of the camera's optical frame to the world, whose z axis is up."""
    moving: Sequence[MovingObject]
    """The moving objects by their numbers, from 1."""


class Drive:
    """Renders frames of the drive. Use as a context manager."""

    def __init__(
        self,
        height: int,
        width: int,
        moving: Sequence[MovingObject] = OBJECTS,
        pose_at: Callable[[float], RigidTransform] | None = None,
    ) -> None:
        """Create the scene.

        Args:
            height: of the images in pixels.
            width: of the images in pixels.
            moving: objects besides road and buildings.
            pose_at: pose of the camera by time, as `camera_pose` returns it, which is the default.
        """
        self._moving, self._pose_at = moving, pose_at or camera_pose
        self._model = mujoco.MjModel.from_xml_string(_scene(height, width, moving))
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, height, width)
        focal = height / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)
        matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        self.camera = CameraModel(height, width, matrix, np.zeros(0))

    def __enter__(self) -> Drive:
        return self

    def __exit__(self, *error: object) -> None:
        self._renderer.close()

    def frames(self, times: Sequence[float]) -> Iterator[RenderedFrame]:
        """Render the frames at these times in seconds."""
        for time in times:
            yield self.frame(time)

    def frame(self, time: float, camera: RigidTransform | None = None) -> RenderedFrame:
        """Render the frame at a time in seconds, from the driving camera or another pose of a camera."""
        model, data = self._model, self._data
        for number, one in enumerate(self._moving):
            self._place(f"object{number}", one.pose(time))
        camera = camera or self._pose_at(time)
        self._place("camera", RigidTransform(camera.rotation @ OPTICAL, camera.translation))
        mujoco.mj_forward(model, data)
        image = self._render()
        self._renderer.enable_depth_rendering()
        depth = self._render()
        self._renderer.disable_depth_rendering()
        self._renderer.enable_segmentation_rendering()
        geoms = self._render()[..., 0]
        self._renderer.disable_segmentation_rendering()
        values = np.array([_values_of(model.geom(geom).name) for geom in range(model.ngeom)] + [(0, SKY.id)], np.uint8)
        objects, stuff = values[geoms, 0], values[geoms, 1]
        return RenderedFrame(
            time, image[..., ::-1].copy(), depth.astype(np.float32), objects, stuff, camera, self._moving
        )

    def scan(self, time: float, lidar: RigidTransform, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure the distances of a lidar.

        Args:
            time: in seconds.
            lidar: transform of the lidar's coordinates to the world.
            directions: (N, 3) unit vectors in the lidar's coordinates.

        Returns:
            (M, 3) float32 points in the lidar's coordinates, and the numbers of their objects (M,), 0 if there is none.
        """
        for number, one in enumerate(self._moving):
            self._place(f"object{number}", one.pose(time))
        mujoco.mj_forward(self._model, self._data)
        count = len(directions)
        geoms, distances = np.zeros(count, np.int32), np.zeros(count)
        rays = (directions @ lidar.rotation.T).ravel()
        mujoco.mj_multiRay(
            self._model, self._data, lidar.translation, rays, None, 1, -1, geoms, distances, None, count, LIDAR_RANGE
        )
        hit = geoms >= 0
        objects = np.array([_values_of(self._model.geom(geom).name)[0] for geom in range(self._model.ngeom)])
        return (directions * distances[:, None])[hit].astype(np.float32), objects[geoms[hit]]

    def _render(self) -> np.ndarray:
        self._renderer.update_scene(self._data, "camera")
        return self._renderer.render()

    def _place(self, body: str, pose: RigidTransform) -> None:
        number = self._model.body(body).mocapid[0]
        x, y, z, w = quaternion_of(pose.rotation)
        self._data.mocap_pos[number] = pose.translation
        self._data.mocap_quat[number] = w, x, y, z


def open_drive(
    height: int,
    width: int,
    moving: Sequence[MovingObject] = OBJECTS,
    pose_at: Callable[[float], RigidTransform] | None = None,
) -> Iterator[Drive]:
    """Yield a drive for a fixture; the test is skipped where nothing can be rendered."""
    try:
        drive = Drive(height, width, moving, pose_at)
    except Exception as error:  # MuJoCo, its loader and EGL raise errors of many kinds.
        pytest.skip(f"nothing can be rendered without EGL (apt install libegl1 libgl1-mesa-dri): {error}")
    with drive:
        yield drive


def camera_pose(time: float) -> RigidTransform:
    """Return the transform of the camera's optical frame to the world: it drives along x, turning and nodding a bit."""
    yaw, pitch = 0.06 * np.sin(0.9 * time), 0.02 * np.sin(2.1 * time) + 0.04
    return pose_of(np.array([SPEED * time, 0.3 * np.sin(0.5 * time), CAMERA_HEIGHT]), yaw, pitch)


def pose_of(position: np.ndarray, yaw: float, pitch: float) -> RigidTransform:
    """Return the transform of a camera's optical frame to the world.

    Args:
        position: (3,) in metres.
        yaw: from the x axis to the left, in radians.
        pitch: from the horizontal downwards, in radians.
    """
    forwards = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    rotation = np.stack([right, np.cross(forwards, right), forwards], axis=1)
    return RigidTransform(rotation, position)


def _values_of(geom: str) -> tuple[int, int]:
    """Return object number and stuff category of a geometry by its name, as in object0_body and building3."""
    kind, _, _ = geom.partition("_")
    if kind.startswith("object"):
        return int(kind.removeprefix("object")) + 1, 0
    return 0, (ROAD if kind == "road" else BUILDING).id


def _scene(height: int, width: int, moving: Sequence[MovingObject]) -> str:
    buildings = "".join(
        f'<geom name="building{number}" type="box" pos="{x} {side * (9 + number % 2)} 3" size="{3 + number % 3} 2 '
        f'{3 + number % 4}" rgba="{0.5 + 0.1 * (number % 4)} {0.45 + 0.1 * (number % 3)} 0.4 1"/>'
        for number, (x, side) in enumerate((x, side) for x in range(2, 80, 10) for side in (-1, 1))
    )
    return f"""
    <mujoco>
      <visual>
        <global offwidth="{width}" offheight="{height}" fovy="{FIELD_OF_VIEW}"/>
        <quality offsamples="0" shadowsize="2048"/>
        <map znear="0.005" zfar="20"/>
        <headlight ambient="0.4 0.4 0.4" diffuse="0.3 0.3 0.3"/>
      </visual>
      <statistic extent="20" center="10 0 0"/>
      <asset>
        <texture name="sky" type="skybox" builtin="gradient" rgb1="0.5 0.7 0.95" rgb2="0.9 0.95 1" width="64"
          height="64"/>
        <texture name="asphalt" type="2d" builtin="checker" rgb1="0.33 0.33 0.35" rgb2="0.38 0.38 0.4" width="64"
          height="64"/>
        <material name="asphalt" texture="asphalt" texrepeat="60 60"/>
      </asset>
      <worldbody>
        <light pos="10 -10 30" dir="0.2 0.4 -1" directional="true" diffuse="0.7 0.7 0.65"/>
        <geom name="road" type="plane" size="120 120 1" material="asphalt"/>
        {buildings}
        {"".join(_body(number, one) for number, one in enumerate(moving))}
        <body name="camera" mocap="true"><camera name="camera" fovy="{FIELD_OF_VIEW}"/></body>
      </worldbody>
    </mujoco>"""


def _body(number: int, one: MovingObject) -> str:
    color = " ".join(str(value) for value in one.color) + " 1"
    name = f"object{number}"
    if one.category is CAR:
        parts = (
            f'<geom name="{name}_body" type="box" pos="0 0 0.6" size="2.1 0.9 0.4" rgba="{color}"/>'
            f'<geom name="{name}_cabin" type="box" pos="-0.3 0 1.25" size="1.1 0.8 0.25" rgba="0.15 0.17 0.2 1"/>'
            + "".join(
                f'<geom name="{name}_wheel{wheel}" type="cylinder" pos="{x} {y} 0.32" size="0.32 0.1" '
                f'zaxis="0 1 0" rgba="0.08 0.08 0.08 1"/>'
                for wheel, (x, y) in enumerate(((1.3, 0.85), (1.3, -0.85), (-1.3, 0.85), (-1.3, -0.85)))
            )
        )
    else:
        parts = (
            f'<geom name="{name}_legs" type="capsule" fromto="0 0 0.15 0 0 0.8" size="0.15" rgba="0.2 0.2 0.35 1"/>'
            f'<geom name="{name}_trunk" type="capsule" fromto="0 0 0.85 0 0 1.35" size="0.22" rgba="{color}"/>'
            f'<geom name="{name}_head" type="sphere" pos="0 0 1.68" size="0.13" rgba="0.85 0.65 0.5 1"/>'
        )
    return f'<body name="{name}" mocap="true">{parts}</body>'
