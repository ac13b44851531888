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

"""Instances for networks with random weights, which detect next to nothing by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ciae_ros.inference import Predictor
from ciae_ros.inference.preprocessing import ChannelOrder


def with_many_instances(
    predictor: Predictor, image: np.ndarray, count: int, channel_order: ChannelOrder = "bgr"
) -> None:
    """Lower the predictor's score threshold to that of the image's `count` highest scores.

    A frame full of instances costs more in every stage behind the network. Those that win no pixel are lost.

    Args:
        predictor: whose settings are changed.
        image: (H, W, 3) uint8.
        count: of instances.
        channel_order: of the image.
    """
    predictor.settings = replace(predictor.default_settings, score_threshold=0.0, max_instances=count)
    segments = predictor.predict(image, channel_order).segments
    lowest = min((segment.score for segment in segments if segment.category.is_thing), default=0.0)
    predictor.settings = replace(predictor.settings, score_threshold=lowest * (1 - 1e-6))
