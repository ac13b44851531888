# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A target number of instances for networks with random weights, which detect hardly any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.inference import Predictor


def target_instance_count(
    predictor: Predictor, image: np.ndarray, count: int, channel_order: ChannelOrder = "bgr"
) -> None:
    """Lower the predictor's score threshold to that of the image's `count` highest scores.

    More instances take more time in every stage after the network. Instances that win no pixel are lost.

    Args:
        predictor: predictor whose settings are changed.
        image: image (H, W, 3) uint8.
        count: target number of instances.
        channel_order: order of the image's channels.
    """
    predictor.settings = replace(predictor.default_settings, score_threshold=0.0, max_instances=count)
    segments = predictor.predict(image, channel_order).segments
    lowest = min((segment.score for segment in segments if segment.category.is_thing), default=0.0)
    predictor.settings = replace(predictor.settings, score_threshold=lowest * (1 - 1e-6))
