# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Ground truth in COCO's panoptic format: a JSON file and one PNG per image, whose colours are segment ids."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.inference.categories import CategorySet


@dataclass(frozen=True)
class PanopticAnnotations:
    """One split of a data set."""

    path: Path
    """Of the JSON file."""
    png_folder: Path
    images: dict[int, dict[str, Any]]
    """Image id to its entry (file_name, height, width, ...)."""
    annotations: dict[int, dict[str, Any]]
    """Image id to its entry (file_name of the PNG, segments_info)."""
    categories: CategorySet

    @classmethod
    def load(cls, path: Path) -> PanopticAnnotations:
        """Read a JSON file; the PNGs are in the folder of the same name beside it.

        Raises:
            ValueError: the file is not in the format.
            OSError: it cannot be read.
        """
        try:
            content = json.loads(path.read_text())
            images = {entry["id"]: entry for entry in content["images"]}
            annotations = {entry["image_id"]: entry for entry in content["annotations"]}
            categories = CategorySet.from_coco(content["categories"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not in COCO's panoptic format: {error!r}") from None
        return cls(path, path.with_suffix(""), images, annotations, categories)

    def first(self, count: int) -> PanopticAnnotations:
        """The first `count` annotated images only."""
        return replace(self, annotations=dict(islice(self.annotations.items(), count)))

    def segment_ids(self, image_id: int) -> np.ndarray:
        """(H, W) int32 segment ids of an image; 0 is void.

        Raises:
            ValueError: the PNG is missing or damaged.
        """
        path = self.png_folder / self.annotations[image_id]["file_name"]
        png = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if png is None:
            raise ValueError(f"{path} is missing or no PNG image")
        blue, green, red = (png[..., channel].astype(np.int32) for channel in range(3))
        return red + 256 * green + 65536 * blue
