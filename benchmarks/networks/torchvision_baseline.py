# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""torchvision's Mask R-CNN in the benchmark `networks`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn

from benchmarks.networks.baseline import Builder, Setup, StagedBaseline

SHORTER, LONGER = 800, 1333
SCALING, SCALINGS = 4.0, 12
"""Factor on random class scores, and the maximum number of its applications."""


class MaskRcnn(StagedBaseline):
    """`maskrcnn_resnet50_fpn` with random weights: only instances, no stuff.

    Score threshold (0.05) and non-maximum suppression (0.5) are the defaults. With random weights all 91 classes have
    similar scores below 0.05, so the classifier's weights are multiplied until enough detections pass; the maximum
    number of detections in an image is `Setup.instances` instead of 100.
    """

    name = "torchvision_maskrcnn_r50_fpn"
    settings = "library's score threshold 0.05 and NMS 0.5, class weights scaled, at most N detections; no stuff"
    module: MaskRCNN

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        size = setup.input_size(SHORTER)
        model = maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            min_size=size,
            max_size=round(LONGER * size / SHORTER),
            box_detections_per_img=setup.instances,
        )
        self.module = model.eval().requires_grad_(False).to(setup.device)
        self.input = f"shorter side {size}"

    @torch.inference_mode()
    def target_instance_count(self, image: np.ndarray) -> None:
        """Scale the classifier's weights until enough detections pass its threshold."""
        inputs = self.preprocess(image)
        for _ in range(SCALINGS):
            if len(self.network(inputs)[0]["boxes"]) >= self.setup.instances:
                return
            self.module.roi_heads.box_predictor.cls_score.weight.mul_(SCALING)

    def preprocess(self, image: np.ndarray) -> Any:
        """Apply the library's transform: resize, normalise, pad."""
        pixels = torch.from_numpy(image).to(self.setup.device).permute(2, 0, 1).float() / 255
        return self.module.transform([pixels])[0]

    def network(self, inputs: Any) -> list[dict[str, Tensor]]:
        """Compute boxes, scores, labels and 28 x 28 masks of one image, after non-maximum suppression."""
        with self.setup.autocast():
            features = self.module.backbone(inputs.tensors)
            proposals, _ = self.module.rpn(inputs, features)
            detections, _ = self.module.roi_heads(features, proposals, inputs.image_sizes)
        self._input_sizes = inputs.image_sizes
        return detections

    def postprocess(self, outputs: list[dict[str, Tensor]], size: tuple[int, int]) -> int:
        """Paste the masks into the image, as the library does, and threshold them at 0.5."""
        (result,) = self.module.transform.postprocess(outputs, self._input_sizes, [size])
        masks = (result["masks"] > 0.5).cpu()
        return len(masks)


TORCHVISION_BASELINES: dict[str, Builder] = {MaskRcnn.name: MaskRcnn}
