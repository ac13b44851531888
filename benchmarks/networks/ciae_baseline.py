# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""CIAE in the benchmark `networks`, run by the predictor as in the node."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness.instance_count import target_instance_count
from benchmarks.networks.baseline import Baseline, Builder, Setup, StageSeconds
from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.model import PRESETS, RawOutputs


class CiaeBaseline(Baseline):
    """A preset of CIAE at its input size."""

    settings = "score threshold lowered to that of the N highest scores; post-processing: proposals, fusion, download"

    def __init__(self, preset: str, setup: Setup) -> None:
        self.name = f"ciae_{preset}"
        self._setup = setup
        checkpoint = untrained_checkpoint(preset, PRESETS[preset], coco_categories())
        size = setup.input_size(PRESETS[preset].input_size)
        self.module = checkpoint.model
        self._predictor = Predictor(checkpoint, setup.device, setup.precision, input_size=size)
        self.input = f"shorter side {size}"

    def target_instance_count(self, image: np.ndarray) -> None:
        """Lower the score threshold."""
        target_instance_count(self._predictor, image, self._setup.instances, "rgb")

    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment one image with the predictor's stage times."""
        result, times = self._predictor.predict_timed(image, "rgb")
        after = times.proposals + times.fusion + times.download
        return StageSeconds(times.preprocess, times.network, after), len(result.segments)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """Create the network's input (1, 3, H', W')."""
        geometry = self._predictor.geometry(*image.shape[:2])
        pixels = torch.from_numpy(image).to(self._predictor.device)
        return preprocess(pixels, "rgb", geometry, self._predictor.backend.input_format, DTYPES[self._setup.precision])

    def network(self, inputs: Tensor) -> RawOutputs:
        """Compute the raw outputs of the model."""
        return self.module(inputs)


CIAE_BASELINES: dict[str, Builder] = {
    f"ciae_{preset}": partial(CiaeBaseline, preset) for preset in ("r50_800", "r50_640", "r50_512", "light_512")
}
