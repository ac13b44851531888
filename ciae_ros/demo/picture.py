# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""One frame, its panoptic map, and the embedding that tells both category and instance, side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ciae_ros.inference import Predictor
from ciae_ros.visualization import draw_overlay, embedding_colors


def write_picture(path: Path, image: np.ndarray, predictor: Predictor) -> None:
    """Write a PNG file.

    Args:
        path: of the file.
        image: (H, W, 3) uint8 BGR.
        predictor: that segments it.
    """
    geometry = predictor.geometry(*image.shape[:2])
    embedding = embedding_colors(predictor.embed(image, "bgr"), geometry.resized)
    panels = (
        image,
        draw_overlay(image, predictor.predict(image, "bgr")),
        cv2.resize(embedding, image.shape[1::-1], interpolation=cv2.INTER_LINEAR),
    )
    cv2.imwrite(str(path), np.hstack(panels))
