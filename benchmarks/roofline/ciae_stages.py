# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""CIAE divided into stages that can be timed and counted separately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ciae_ros.inference import InferenceSettings, Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.fusion.fusion import fuse
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.inference.proposals.selection import select_proposals
from ciae_ros.model import PRESETS, RawOutputs

NETWORK_STAGES = ("backbone", "FPN", "proposal head", "embedding branch")
STAGES = ("preprocess", *NETWORK_STAGES, "proposals", "fusion")


class CiaeStages:
    """A preset with random weights; each stage takes the results of the previous one from `state`."""

    def __init__(self, preset: str, device: str, precision: str, input_size: int | None = None) -> None:
        checkpoint = untrained_checkpoint(preset, PRESETS[preset], coco_categories())
        self._model = checkpoint.model
        # The predictor prepares the model as in the node: folded, in its precision, channels last.
        self.predictor = Predictor(checkpoint, device, precision, input_size=input_size)
        self.config = checkpoint.model.config
        self._dtype = DTYPES[precision]
        self._settings: InferenceSettings | None = None
        self.state: dict[str, Any] = {}
        self.stages: dict[str, Callable[[], None]] = dict(
            zip(
                STAGES,
                (
                    self._preprocess,
                    self._backbone,
                    self._pyramid,
                    self._head,
                    self._embedding,
                    self._proposals,
                    self._fuse,
                ),
                strict=True,
            )
        )

    def start(self, image: np.ndarray) -> None:
        """Set the image (H, W, 3) uint8 RGB on the host."""
        geometry = self.predictor.geometry(*image.shape[:2])
        self.state = {"image": image, "geometry": geometry}

    def target_instance_count(self, image: np.ndarray, instances: int) -> None:
        """Set the score threshold such that `instances` instances are proposed in the image.

        All stages run once, and the lowest of the `instances` highest scores becomes the threshold.
        """
        self._settings = InferenceSettings(score_threshold=0.0, max_instances=instances)
        self.start(image)
        with torch.inference_mode():
            for stage in self.stages.values():
                stage()
        scores = self.state["proposals"].scores
        lowest = float(scores.min()) if len(scores) else 0.0
        self._settings = InferenceSettings(score_threshold=lowest * (1 - 1e-6), max_instances=instances)

    @property
    def _used_settings(self) -> InferenceSettings:
        return self._settings or self.predictor.settings

    def _preprocess(self) -> None:
        image = torch.from_numpy(self.state["image"]).to(self.predictor.device)
        self.state["input"] = preprocess(
            image, "rgb", self.state["geometry"], self.predictor.backend.input_format, self._dtype
        )

    def _backbone(self) -> None:
        self.state["features"] = self._model.backbone(self.state["input"])

    def _pyramid(self) -> None:
        self.state["pyramid"] = self._model.pyramid(self.state["features"])

    def _head(self) -> None:
        self.state["levels"] = self._model.proposal_head(self.state["pyramid"][1:])

    def _embedding(self) -> None:
        levels = self.state["levels"]
        boxes = [level.box_embedding for level in levels if level.box_embedding is not None]
        embedding, semantic, _ = self._model.embedding_branch(self.state["pyramid"][:4], boxes or None)
        self.state["outputs"] = RawOutputs(
            [level.class_logits for level in levels],
            [level.centerness for level in levels],
            [level.box_distances for level in levels],
            embedding,
            semantic,
        )

    def _proposals(self) -> None:
        outputs, geometry = self.state["outputs"], self.state["geometry"]
        self.state["proposals"] = select_proposals(outputs, 0, geometry.resized, self._used_settings)

    def _fuse(self) -> None:
        outputs: RawOutputs = self.state["outputs"]
        fused = fuse(
            outputs.embedding[0],
            self.state["proposals"],
            self._model.memory,
            self.config,
            self._used_settings.min_stuff_area,
            self.state["geometry"],
            outputs.semantic_logits_of(0),
        )
        self.state["result"] = fused.to_result(self.predictor.categories)
