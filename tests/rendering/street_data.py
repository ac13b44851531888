# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A data set of rendered streets in COCO's panoptic format: `python -m tests.rendering.street_data FOLDER`.

A model that is fine-tuned on it finds the objects of the other rendered scenes, in which the shipped model finds few.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.core.coco_panoptic import write_segment_ids
from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.rendering.drive import CAMERA_HEIGHT, CAR, CATEGORIES, PERSON, Drive, MovingObject, pose_of
from tests.rendering.truth import labelled_frame

SCENES, VIEWS = 40, 8
CARS, PEOPLE = 8, 12
VALIDATION = 8
"""Number of images, the last ones, that are for validation."""


def random_street(random: np.random.Generator) -> list[MovingObject]:
    """Return objects at random places."""
    return [
        MovingObject(
            category,
            (random.uniform(5, 45), random.uniform(-6, 6)),
            (random.uniform(-1, 1), random.uniform(-1, 1)),
            tuple(random.random(3)),
        )
        for category in [CAR] * CARS + [PERSON] * PEOPLE
    ]


def random_view(random: np.random.Generator) -> RigidTransform:
    """Return the pose of a camera that looks along the street."""
    position = np.array([random.uniform(-2, 6), random.uniform(-1, 1), CAMERA_HEIGHT])
    return pose_of(position, random.uniform(-0.3, 0.3), random.uniform(0, 0.1))


def write(folder: Path) -> None:
    """Render and write the images and annotations."""
    random = np.random.default_rng(0)
    parts: dict[str, tuple[list[dict], list[dict]]] = {"train": ([], []), "val": ([], [])}
    for scene in range(SCENES):
        with Drive(480, 640, random_street(random)) as drive:
            for view in range(VIEWS):
                number = scene * VIEWS + view
                name = "val" if number >= SCENES * VIEWS - VALIDATION else "train"
                frame = drive.frame(0.0, random_view(random))
                labelled = labelled_frame(frame)
                (folder / name).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / name / f"{number:04}.jpg"), frame.image)
                png = f"{number:04}.png"
                write_segment_ids(folder / "annotations" / f"panoptic_{name}" / png, labelled.labels)
                infos = [
                    {"id": one.id, "category_id": one.category_id, "iscrowd": 0, "bbox": list(one.box)}
                    | {"area": int((labelled.labels == one.id).sum())}
                    for one in labelled.segments
                ]
                images, annotations = parts[name]
                images.append({"id": number, "file_name": f"{number:04}.jpg", "height": 480, "width": 640})
                annotations.append({"image_id": number, "file_name": png, "segments_info": infos})
    categories = [{"id": one.id, "name": one.name, "isthing": int(one.is_thing)} for one in CATEGORIES]
    for name, (images, annotations) in parts.items():
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"panoptic_{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
