# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""CIAE: proposals, and the assignment of each pixel to its most similar query (Sec. IV)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ciae_ros.inference.backends.backend import ResultSize, Settings, min_stuff_area, result_geometry
from ciae_ros.inference.fusion.confidence import map_size
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.fusion.fusion import fuse
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.networks.network import Network
from ciae_ros.inference.proposals.candidates import CandidateOutputs, NetworkOutputs, candidates_of
from ciae_ros.inference.proposals.selection import Proposals, propose
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageClock


class CiaeBackend:
    """A CIAE network with its fusion."""

    def __init__(self, network: Network, input_size: int | None = None) -> None:
        """Take over the network.

        Args:
            network: the network on its device.
            input_size: length of the shorter side in the network, in pixels; that of the model if None.
        """
        self.network = network
        self._memory = network.memory
        self.config = network.config if input_size is None else network.config.at_input_size(input_size)
        self.input_format = InputFormat.of_model(self.config)

    @property
    def embedding_dim(self) -> int:
        return self.config.embedding_dim

    @property
    def runtime(self) -> str:
        return self.network.runtime

    @property
    def supports_graph_capture(self) -> bool:
        return self.network.supports_graph_capture

    @property
    def input_dtype(self) -> torch.dtype:
        return self.network.input_dtype

    def prepare(self, size: tuple[int, int]) -> None:
        self.network.prepare(size)

    def confidence_size(self, geometry: ImageGeometry) -> tuple[int, int]:
        return (0, 0) if self.config.semantic_branch else map_size(geometry)

    def max_segments(self, settings: InferenceSettings) -> int:
        return self.config.num_stuff_classes + settings.max_instances

    def run_network(self, batch: Tensor) -> NetworkOutputs:
        return self.network(batch)

    def segment(
        self,
        outputs: NetworkOutputs,
        geometries: Sequence[ImageGeometry],
        settings: Settings,
        result_size: ResultSize,
        clock: StageClock,
    ) -> list[FusedImage]:
        proposals = _propose(outputs, geometries, settings)
        clock.lap()
        fused = [
            fuse(
                outputs.embedding[index],
                found,
                self._memory,
                self.config,
                min_stuff_area(settings, geometry, result_size),
                result_geometry(geometry, result_size),
                outputs.semantic_logits_of(index),
                settings,
            )
            for index, (found, geometry) in enumerate(zip(proposals, geometries, strict=True))
        ]
        clock.lap()
        return fused

    def segment_on_cpu(
        self,
        outputs: NetworkOutputs,
        geometries: Sequence[ImageGeometry],
        settings: InferenceSettings,
        result_size: ResultSize,
    ) -> list[FusedImage]:
        # Of equal scores, which half precision makes common, each device chooses others: the candidates are shared.
        count = settings.max_proposals_per_level
        candidates = candidates_of(outputs, count)
        shared = CandidateOutputs(outputs.embedding, candidates, count, outputs.semantic_logits)
        other = copy.copy(self)
        other._memory = copy.deepcopy(self._memory).cpu()
        clock = HostClock(torch.device("cpu"))
        return other.segment(tree_map_only(Tensor, Tensor.cpu, shared), geometries, settings, result_size, clock)


def _propose(outputs: NetworkOutputs, geometries: Sequence[ImageGeometry], settings: Settings) -> list[Proposals]:
    if isinstance(settings, InferenceSettings):
        return [propose(outputs, index, geometry.resized, settings) for index, geometry in enumerate(geometries)]
    # Imported here because Triton is optional.
    from ciae_ros.inference.proposals.fixed_shape_selection import select_padded_proposals  # noqa: PLC0415

    candidates = candidates_of(outputs, settings.max_proposals_per_level)
    return [
        select_padded_proposals(candidates, outputs.embedding, index, geometry.resized, settings)
        for index, geometry in enumerate(geometries)
    ]
