# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data sets with the categories of a map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ciae_ros.core.atomic_file import new_folder_atomically, open_atomically
from ciae_ros.core.categories import Category
from ciae_ros.core.coco_panoptic import PanopticAnnotations, check_png_names, read_content, write_segment_ids
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference.category_map import CategoryMap, ModelCategoryMap
from training.labeling.labels import Labels, LabelSegment


def map_data_set(source: Path, target: Path, category_map: CategoryMap) -> None:
    """Write the annotations of a data set in COCO's panoptic format with the categories of a map.

    Segments of stuff of one category are merged. Crowds remain crowds if they become things, and segments of stuff that
    become things are crowds.

    Args:
        source: JSON file, with its PNGs in the folder of the same name next to it.
        target: JSON file to write, with its PNGs in the folder of the same name next to it. Neither must exist.
        category_map: the map.

    Raises:
        ValueError: the data cannot be read, the target exists, or the map names none of the categories.
        OSError: the target cannot be written.
    """
    if existing := next((path for path in (target, target.with_suffix("")) if path.exists()), None):
        raise ValueError(f"{existing} exists already: give another path, or remove it")
    annotations = PanopticAnnotations.load(source)
    check_png_names(annotations.annotations.values(), source)
    categories = annotations.categories.categories
    category_map.check_names(categories)
    mapping = category_map.for_model(categories)
    with new_folder_atomically(target.with_suffix("")) as folder:
        entries = [*_mapped(annotations, mapping, folder)]
    content = read_content(source) | {"annotations": entries, "categories": category_map.categories.to_coco()}
    with open_atomically(target) as file:
        file.write(json.dumps(content).encode())


def _mapped(annotations: PanopticAnnotations, mapping: ModelCategoryMap, folder: Path) -> Iterator[dict[str, Any]]:
    """Write the PNGs and yield the annotations."""
    for image_id in tqdm(annotations.annotated, unit=" images", disable=None):
        entry = annotations.annotations[image_id]
        labels = _map_labels(annotations.segment_ids(image_id), entry["segments_info"], annotations, mapping)
        write_segment_ids(folder / entry["file_name"], labels.ids)
        segments = [
            {key: value for key, value in one.items() if key not in ("score", "agreement")}
            for one in labels.segments_info()
        ]
        yield {**entry, "segments_info": segments}


def _map_labels(
    ids: np.ndarray,
    segments_info: list[dict[str, Any]],
    annotations: PanopticAnnotations,
    mapping: ModelCategoryMap,
) -> Labels:
    """Return the labels of an image; crowds are mapped separately, so that they are not merged with other segments."""
    dense = np.searchsorted(np.unique(ids), ids)
    numbers = {one: number for number, one in enumerate(np.unique(ids).tolist())}
    found = np.zeros(ids.shape, np.uint16)
    segments: list[LabelSegment] = []
    for is_crowd in (False, True):
        contents: dict[int, tuple[Category, float]] = {
            numbers[one["id"]]: (annotations.categories.by_id[one["category_id"]], 1.0)
            for one in segments_info
            if bool(one.get("iscrowd", 0)) == is_crowd and one["id"] in numbers
        }
        result: PanopticResult = panoptic_result(dense, contents)
        mapped, regions = mapping.apply(result)
        for segment in mapped.segments:
            number = len(segments) + 1
            found[mapped.label_map == segment.id] = number
            crowd = segment.category.is_thing and (is_crowd or segment.id in regions)
            segments.append(LabelSegment(number, segment.category, 1.0, 1.0, crowd))
    return Labels(found, tuple(segments))
