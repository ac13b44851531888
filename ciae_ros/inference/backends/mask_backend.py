# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Networks that predict a class and a mask for each query, and the merge of the masks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ciae_ros.inference.backends.backend import ResultSize, Settings, min_stuff_area, result_geometry
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.fusion.mask_merging import ClassCategories, merge_masks
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel
from ciae_ros.inference.networks.mask_network import MaskNetwork, MaskOutputs
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageClock


class MaskBackend:
    """A network of transformers with the merge of its masks."""

    embedding_dim = 0
    supports_graph_capture = True

    def __init__(self, network: MaskNetwork, model: MaskModel, device: torch.device) -> None:
        self._network = network
        self._num_queries = model.num_queries
        category = torch.tensor([*model.category_of_class, -1], device=device)
        self._class_categories = ClassCategories(category, len(model.categories.stuff))

    @property
    def input_format(self) -> InputFormat:
        return self._network.input_format

    @property
    def runtime(self) -> str:
        return self._network.runtime

    @property
    def input_dtype(self) -> torch.dtype:
        return self._network.input_dtype

    def prepare(self, size: tuple[int, int]) -> None:
        """Do nothing: PyTorch runs images of any size."""

    def confidence_size(self, geometry: ImageGeometry) -> tuple[int, int]:
        return 0, 0

    def max_segments(self, settings: InferenceSettings) -> int:
        return self._num_queries

    def run_network(self, batch: Tensor) -> MaskOutputs:
        return self._network(batch)

    def segment(
        self,
        outputs: MaskOutputs,
        geometries: Sequence[ImageGeometry],
        settings: Settings,
        result_size: ResultSize,
        clock: StageClock,
    ) -> list[FusedImage]:
        # The selection of queries takes no noticeable time and is timed with the merge.
        clock.lap()
        merged = [
            merge_masks(
                outputs.class_logits[index],
                outputs.mask_logits[index],
                self._class_categories,
                settings,
                min_stuff_area(settings, geometry, result_size),
                result_geometry(geometry, result_size),
            )
            for index, geometry in enumerate(geometries)
        ]
        clock.lap()
        return merged

    def segment_on_cpu(
        self,
        outputs: MaskOutputs,
        geometries: Sequence[ImageGeometry],
        settings: InferenceSettings,
        result_size: ResultSize,
    ) -> list[FusedImage]:
        other = copy.copy(self)
        other._class_categories = replace(self._class_categories, category=self._class_categories.category.cpu())
        on_host = MaskOutputs(outputs.class_logits.cpu(), outputs.mask_logits.cpu())
        return other.segment(on_host, geometries, settings, result_size, HostClock(torch.device("cpu")))
