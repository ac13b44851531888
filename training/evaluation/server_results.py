# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results for COCO's evaluation server, on images without public annotations (Table II)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations, check_png_names, write_results
from ciae_ros.core.text_file import read_text
from ciae_ros.inference import PanopticResult, Predictor
from training.data.sample import DataError, read_rgb
from training.evaluation.runner import results_path

IMAGE_INFO_PREFIX = "image_info_"


def write_server_results(predictor: Predictor, image_info: Path, image_folder: Path, output: Path) -> Path:
    """Segment the images in a file of COCO's "testing image info".

    Args:
        predictor: predictor with COCO's categories.
        image_info: image_info_test-dev2017.json or a similar file.
        image_folder: folder of the image files.
        output: folder for the results, created if missing.

    Returns:
        The JSON file, to be uploaded in a ZIP archive with the folder of PNGs of the same name.

    Raises:
        DataError: the file is not in COCO's format, or an image is missing or corrupt.
        OSError: a file cannot be read or written.
    """
    try:
        entries = json.loads(read_text(image_info))["images"]
        file_names = {entry["id"]: entry["file_name"] for entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{image_info} is not in COCO's format: {error!r}") from None
    split = image_info.stem.removeprefix(IMAGE_INFO_PREFIX)
    images = PanopticAnnotations(
        path=image_info.with_name(f"panoptic_{split}.json"),
        png_folder=image_info.with_name(f"panoptic_{split}"),
        images={entry["id"]: entry for entry in entries},
        annotations={},
        categories=predictor.categories,
        category_ids={category.id: category.id for category in predictor.categories.categories},
    )
    try:
        check_png_names(entries, image_info)
    except ValueError as error:
        raise DataError(str(error)) from None
    path = results_path(output, images)
    write_results(_results(predictor, file_names, image_folder), path, images)
    return path


def _results(
    predictor: Predictor, file_names: dict[ImageId, str], image_folder: Path
) -> Iterator[tuple[ImageId, str, PanopticResult]]:
    for image_id, file_name in tqdm(file_names.items(), unit=" images", disable=None):
        yield image_id, str(Path(file_name).with_suffix(".png")), predictor.predict(read_rgb(image_folder / file_name))
