# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Mask2Former, OneFormer, DETR and EoMT of the library transformers in the benchmark `networks`, run as in the node.

They have random weights. Their masks are merged by this package and, for comparison, by the library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks.baseline import Baseline, Builder, Setup, StageSeconds
from benchmarks.networks.synthetic_masks import LibraryOutputs, synthetic_outputs
from ciae_ros.core.known_categories import coco_categories
from ciae_ros.inference import InferenceSettings, Predictor
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel
from ciae_ros.inference.networks.mask_network import MaskOutputs
from ciae_ros.inference.stage_times import HostClock
from ciae_ros.model.config import IMAGENET_MEAN, IMAGENET_STD

NUM_THINGS, NUM_CLASSES = 80, 133
"""Numbers of classes of COCO panoptic, things first, as in the COCO models of transformers."""
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN_T = {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}
SCORE_THRESHOLD = 0.8

Merge = Callable[[LibraryOutputs, tuple[int, int]], tuple[Tensor, list[dict[str, Any]]]]
"""The library's post-processing: the segmentation (H, W) on the device, and its segments."""


class MaskClassifier(Baseline):
    """A network that predicts a class and a mask for every query."""

    settings = "thresholds 0.8, 0.5 and 0.8, on synthetic outputs of which N queries are kept; the merge is ciae_ros's"

    def __init__(
        self,
        name: str,
        setup: Setup,
        module: nn.Module,
        input_format: InputFormat,
        num_queries: int,
        merge: Merge,
        task_tokens: Tensor | None = None,
    ) -> None:
        """Build the predictor of a network with random weights.

        Args:
            name: name in the results.
            setup: settings of the run.
            module: the network.
            input_format: its input format.
            num_queries: its number of queries.
            merge: the library's post-processing.
            task_tokens: tokens of the task, for OneFormer.
        """
        self.name, self.module = name, module
        self.input = (
            f"{input_format.input_size} x {input_format.input_size}, padded"
            if input_format.is_square
            else f"shorter side {input_format.input_size}"
        )
        categories = coco_categories()
        num_stuff = NUM_CLASSES - NUM_THINGS
        model = MaskModel(
            name,
            module.eval().requires_grad_(False),
            categories,
            (*range(num_stuff, NUM_CLASSES), *range(num_stuff)),
            digest="",
            settings=InferenceSettings(score_threshold=SCORE_THRESHOLD, max_instances=num_queries, min_stuff_area=0),
            input_format=input_format,
            num_queries=num_queries,
            task_tokens=task_tokens,
        )
        self._predictor = Predictor(model, setup.device, setup.precision)
        self._instances, self._merge = setup.instances, merge
        self._synthetic: LibraryOutputs | None = None

    @torch.inference_mode()
    def target_instance_count(self, image: np.ndarray) -> None:
        """Prepare synthetic outputs of the same shapes, which replace the random ones in post-processing."""
        outputs = self.network(self.preprocess(image))
        self._synthetic = synthetic_outputs(LibraryOutputs(*outputs), self._instances, NUM_THINGS)

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment one image and time each stage."""
        predictor = self._predictor
        geometry, settings = predictor.geometry(*image.shape[:2]), predictor.settings_on_device(predictor.settings)
        clock = HostClock(predictor.device)
        inputs = self.preprocess(image)
        clock.lap()
        outputs = LibraryOutputs(*self.network(inputs))
        clock.lap()
        outputs = self._synthetic or outputs
        queries = MaskOutputs(outputs.class_queries_logits, outputs.masks_queries_logits)
        (merged,) = predictor.segment(queries, [geometry], settings, HostClock(predictor.device))
        result = merged.to_result(predictor.categories)
        clock.lap()
        segmentation, _ = self._merge(outputs, image.shape[:2])
        segmentation.cpu()
        clock.lap()
        return StageSeconds(*clock.laps), len(result.segments)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """Create the network's input (1, 3, H', W')."""
        pixels = torch.from_numpy(image).to(self._predictor.device)
        return self._predictor.preprocess([(pixels, "rgb")], [self._predictor.geometry(*image.shape[:2])])

    def network(self, inputs: Tensor) -> MaskOutputs:
        """Compute classes and masks of the queries."""
        return self._predictor.run_network(inputs)


def _merge(processor: Any, outputs: Callable[[LibraryOutputs], Any] = lambda outputs: outputs, **stuff: Any) -> Merge:
    """Return the post-processing of one of the library's processors.

    Args:
        processor: the processor.
        outputs: turns the outputs into those that it takes.
        stuff: its argument for the stuff classes.
    """

    def merge(given: LibraryOutputs, image_size: tuple[int, int]) -> tuple[Tensor, list[dict[str, Any]]]:
        (result,) = processor.post_process_panoptic_segmentation(
            outputs(given), threshold=SCORE_THRESHOLD, target_sizes=[image_size], **stuff
        )
        return result["segmentation"], result["segments_info"]

    return merge


STUFF = set(range(NUM_THINGS, NUM_CLASSES))


def _format(setup: Setup, size_divisor: int = 32) -> InputFormat:
    """Return the format with the shorter side 800 and the longer at most 1333, as published."""
    size = setup.input_size(800)
    return InputFormat(size, round(size * 1333 / 800), IMAGENET_MEAN, IMAGENET_STD, size_divisor)


def mask2former(backbone: str, setup: Setup) -> MaskClassifier:
    """Build Mask2Former: 100 queries, multi-scale deformable attention."""
    from transformers import (  # noqa: PLC0415 (optional dependency)
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        ResNetConfig,
        SwinConfig,
    )

    of_backbone = ResNetConfig(out_features=STAGES) if backbone == "r50" else SwinConfig(out_features=STAGES, **SWIN_T)
    config = Mask2FormerConfig(backbone_config=of_backbone, num_labels=NUM_CLASSES)
    module = Mask2FormerForUniversalSegmentation(config)
    merge = _merge(Mask2FormerImageProcessor(), label_ids_to_fuse=STUFF)
    name = f"transformers_mask2former_{backbone}"
    return MaskClassifier(name, setup, module, _format(setup), config.num_queries, merge)


def oneformer(setup: Setup) -> MaskClassifier:
    """Build OneFormer with Swin-T: 150 queries, conditioned on a task."""
    from transformers import (  # noqa: PLC0415 (optional dependency)
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        SwinConfig,
    )

    backbone = SwinConfig(out_features=STAGES, **SWIN_T)
    config = OneFormerConfig(backbone_config=backbone, num_labels=NUM_CLASSES, is_training=False)
    module, merge = (
        OneFormerForUniversalSegmentation(config),
        _merge(OneFormerImageProcessor(), label_ids_to_fuse=STUFF),
    )
    task = torch.zeros(1, config.task_seq_len, dtype=torch.int64)
    name = "transformers_oneformer_swin_t"
    return MaskClassifier(name, setup, module, _format(setup), config.num_queries, merge, task)


def detr(setup: Setup) -> MaskClassifier:
    """Build DETR with ResNet-50: 100 queries; images are not padded."""
    from transformers import (  # noqa: PLC0415 (optional dependency)
        DetrConfig,
        DetrForSegmentation,
        DetrImageProcessor,
        ResNetConfig,
    )

    backbone = ResNetConfig(out_features=STAGES)
    config = DetrConfig(use_timm_backbone=False, backbone=None, backbone_config=backbone, num_labels=NUM_CLASSES)

    def named(outputs: LibraryOutputs) -> SimpleNamespace:
        return SimpleNamespace(logits=outputs.class_queries_logits, pred_masks=outputs.masks_queries_logits)

    merge = _merge(DetrImageProcessor(), named, label_ids_to_fuse=STUFF)
    name = "transformers_detr_r50"
    return MaskClassifier(name, setup, DetrForSegmentation(config), _format(setup, 1), config.num_queries, merge)


EOMT_SIZES = {
    "s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "num_blocks": 3},
    "b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "num_blocks": 3},
    "l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "num_blocks": 4},
}
"""The library's configurations of ViT-S/16, ViT-B/16 and ViT-L/16."""


def eomt(vit: str, setup: Setup, **choices: Any) -> MaskClassifier:
    """Build EoMT: a plain ViT with 200 queries at 640 x 640, the COCO panoptic model.

    The masked attention of its training is disabled, as in the released weights.

    Args:
        vit: one of `EOMT_SIZES`.
        setup: settings of the run.
        choices: override the library's `EomtConfig`.
    """
    from transformers import (  # noqa: PLC0415 (optional dependency)
        EomtConfig,
        EomtForUniversalSegmentation,
        EomtImageProcessor,
    )

    size = setup.input_size(640)
    config = EomtConfig(**{"image_size": size, "num_labels": NUM_CLASSES, **EOMT_SIZES[vit], **choices})
    module = EomtForUniversalSegmentation(config)
    module.attn_mask_probs.zero_()
    processor = EomtImageProcessor(size={"shortest_edge": size, "longest_edge": size}, do_pad=True)
    merge = _merge(processor, stuff_classes=sorted(STUFF))
    return MaskClassifier(
        f"transformers_eomt_vit_{vit}",
        setup,
        module,
        InputFormat(size, size, IMAGENET_MEAN, IMAGENET_STD, config.patch_size, is_square=True),
        config.num_queries,
        merge,
    )


TRANSFORMERS_BASELINES: dict[str, Builder] = {
    "transformers_mask2former_r50": partial(mask2former, "r50"),
    "transformers_mask2former_swin_t": partial(mask2former, "swin_t"),
    "transformers_oneformer_swin_t": oneformer,
    "transformers_detr_r50": detr,
    **{f"transformers_eomt_vit_{vit}": partial(eomt, vit) for vit in EOMT_SIZES},
}
