# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Mask2Former and EoMT of the library transformers in the benchmark `networks`, with random weights."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.baseline import Builder, Setup, StagedBaseline, geometry_of, imagenet_input
from benchmarks.networks.synthetic_masks import MaskOutputs, synthetic_outputs
from ciae_ros.inference.geometry import ImageGeometry

NUM_THINGS, NUM_CLASSES = 80, 133
"""Numbers of classes of COCO panoptic, things first, as in both libraries' COCO models."""
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN_T = {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}


class MaskClassifier(StagedBaseline):
    """A network that predicts a class and a mask for every query."""

    settings = "the library's post-processing and thresholds, on synthetic outputs of which N queries are kept"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.input = ""
        self._synthetic: MaskOutputs | None = None

    @abstractmethod
    def geometry(self, image: np.ndarray) -> ImageGeometry:
        """Return the geometry of an image in the network."""

    @abstractmethod
    def panoptic(self, outputs: MaskOutputs, size: tuple[int, int]) -> tuple[Tensor, list[dict[str, Any]]]:
        """Run the library's post-processing; returns the segmentation (H, W) on the device, and its segments."""

    @torch.inference_mode()
    def target_instance_count(self, image: np.ndarray) -> None:
        """Prepare synthetic outputs of the same shapes, which replace the random ones in post-processing."""
        outputs = self.network(self.preprocess(image))
        self._synthetic = synthetic_outputs(outputs, self.setup.instances, NUM_THINGS)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """Create the network's input (1, 3, H', W')."""
        return imagenet_input(image, self.geometry(image), self.setup.device)

    def network(self, inputs: Tensor) -> MaskOutputs:
        """Compute classes and masks of the queries."""
        with self.setup.autocast():
            outputs = self.module(pixel_values=inputs)
        return MaskOutputs(outputs.class_queries_logits, outputs.masks_queries_logits)

    def postprocess(self, outputs: MaskOutputs, size: tuple[int, int]) -> int:
        """Post-process the synthetic outputs."""
        segmentation, segments = self.panoptic(self._synthetic or outputs, size)
        segmentation.cpu()
        return len(segments)


class Mask2Former(MaskClassifier):
    """100 queries, multi-scale deformable attention; shorter side 800, longer at most 1333, as published."""

    def __init__(self, backbone: str, setup: Setup) -> None:
        super().__init__(setup)
        from transformers import (  # noqa: PLC0415 (optional dependency)
            Mask2FormerConfig,
            Mask2FormerForUniversalSegmentation,
            Mask2FormerImageProcessor,
            ResNetConfig,
            SwinConfig,
        )

        self.name = f"transformers_mask2former_{backbone}"
        of_backbone = (
            ResNetConfig(out_features=STAGES) if backbone == "r50" else SwinConfig(out_features=STAGES, **SWIN_T)
        )
        model = Mask2FormerForUniversalSegmentation(
            Mask2FormerConfig(backbone_config=of_backbone, num_labels=NUM_CLASSES)
        )
        self.module = model.eval().requires_grad_(False).to(setup.device)
        self._processor = Mask2FormerImageProcessor()
        self._size = setup.input_size(800)
        self.input = f"shorter side {self._size}"

    def geometry(self, image: np.ndarray) -> ImageGeometry:
        """Return the geometry, padded to multiples of 32."""
        return geometry_of(image, self._size, round(self._size * 1333 / 800))

    def panoptic(self, outputs: MaskOutputs, size: tuple[int, int]) -> tuple[Tensor, list[dict[str, Any]]]:
        """Run `post_process_panoptic_segmentation` with its default thresholds (0.5, 0.5, 0.8); stuff is merged."""
        stuff = set(range(NUM_THINGS, NUM_CLASSES))
        (result,) = self._processor.post_process_panoptic_segmentation(
            outputs, target_sizes=[size], label_ids_to_fuse=stuff
        )
        return result["segmentation"], result["segments_info"]


class Eomt(MaskClassifier):
    """EoMT-L: a plain ViT-L/16 with 200 queries at 640 x 640, the COCO panoptic model.

    The masked attention of its training is disabled, as in the released weights.
    """

    name = "transformers_eomt_vit_l"

    def __init__(self, setup: Setup, **config: Any) -> None:
        """Build the network; `config` overrides the library's `EomtConfig`, by default the COCO panoptic model."""
        super().__init__(setup)
        from transformers import (  # noqa: PLC0415 (optional dependency)
            EomtConfig,
            EomtForUniversalSegmentation,
            EomtImageProcessor,
        )

        self._size = setup.input_size(640)
        model = EomtForUniversalSegmentation(
            EomtConfig(**{"image_size": self._size, "num_labels": NUM_CLASSES} | config)
        )
        model.attn_mask_probs.zero_()
        self.module = model.eval().requires_grad_(False).to(setup.device)
        self._processor = EomtImageProcessor(
            size={"shortest_edge": self._size, "longest_edge": self._size}, do_split_image=False, do_pad=True
        )
        self.input = f"{self._size} x {self._size}, padded"

    def geometry(self, image: np.ndarray) -> ImageGeometry:
        """Return the geometry in which the longer side fills the square."""
        fitting = geometry_of(image, self._size, self._size)
        return ImageGeometry(fitting.original, fitting.resized, (self._size, self._size))

    def panoptic(self, outputs: MaskOutputs, size: tuple[int, int]) -> tuple[Tensor, list[dict[str, Any]]]:
        """Run `post_process_panoptic_segmentation` with its default thresholds (0.8, 0.5, 0.8); stuff is merged."""
        (result,) = self._processor.post_process_panoptic_segmentation(
            outputs, target_sizes=[size], stuff_classes=list(range(NUM_THINGS, NUM_CLASSES))
        )
        return result["segmentation"], result["segments_info"]


TRANSFORMERS_BASELINES: dict[str, Builder] = {
    "transformers_mask2former_r50": partial(Mask2Former, "r50"),
    "transformers_mask2former_swin_t": partial(Mask2Former, "swin_t"),
    Eomt.name: Eomt,
}
