# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Where COCO's layout has its images, and results in its format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.inference import PanopticResult
from ciae_ros.inference.panoptic_annotations import PanopticAnnotations


def image_folder_of(path: Path) -> Path:
    """Where COCO's layout has the images of an annotation file: ROOT/annotations/panoptic_X.json has ROOT/X."""
    return path.parent.parent / path.stem.removeprefix("panoptic_")


def write_results(
    results: Iterable[tuple[int, str, PanopticResult]], path: Path, annotations: PanopticAnnotations
) -> None:
    """Write results in the format that evaluators and COCO's test server take.

    Args:
        results: image id, file name of the PNG, result.
        path: of the JSON file; the PNGs go to the folder of the same name beside it.
        annotations: whose images and categories are copied.

    Raises:
        OSError: the files cannot be written.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    # The JSON file comes last: where there is one, all of its PNGs are.
    path.unlink(missing_ok=True)
    entries, images = [], []
    for image_id, file_name, result in results:
        ids = result.label_map
        png = np.stack((np.zeros_like(ids), ids >> 8, ids & 255), axis=-1).astype(np.uint8)
        if not cv2.imwrite(str(folder / file_name), png):
            raise OSError(f"{folder / file_name} cannot be written")
        images.append(annotations.images[image_id])
        entries.append({"image_id": image_id, "file_name": file_name, "segments_info": _segments_info(result)})
    content = {"images": images, "annotations": entries, "categories": annotations.categories.to_coco()}
    path.write_text(json.dumps(content))


def _segments_info(result: PanopticResult) -> list[dict[str, Any]]:
    return [
        {
            "id": segment.id,
            "category_id": segment.category.id,
            "area": segment.area,
            "bbox": list(segment.box),
            "iscrowd": 0,
            "score": segment.score,
        }
        for segment in result.segments
    ]
