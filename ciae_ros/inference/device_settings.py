# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Settings whose thresholds lie on a CUDA device."""

from __future__ import annotations

import torch

from ciae_ros.inference.settings import InferenceSettings


class DeviceSettings:
    """As `InferenceSettings`; a captured graph reads the thresholds at every replay, the counts are fixed in it."""

    def __init__(self, settings: InferenceSettings, device: torch.device) -> None:
        self.max_proposals_per_level = settings.max_proposals_per_level
        self.max_instances = settings.max_instances
        self.score_threshold = torch.tensor(settings.score_threshold, dtype=torch.float32, device=device)
        """() float32, as the other two."""
        self.nms_threshold = torch.tensor(settings.nms_threshold, dtype=torch.float32, device=device)
        self.min_stuff_area = torch.tensor(float(settings.min_stuff_area), dtype=torch.float32, device=device)
        self._settings = settings

    def take_over(self, settings: InferenceSettings) -> None:
        """Other thresholds, for what is launched on the current stream from now on."""
        if settings != self._settings:
            self._settings = settings
            self.score_threshold.fill_(settings.score_threshold)
            self.nms_threshold.fill_(settings.nms_threshold)
            self.min_stuff_area.fill_(float(settings.min_stuff_area))
