# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""There is no synchronisation between upload and download, tested with tensors that pretend to be on a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("triton", reason="needs Triton")

from ciae_ros.inference import InferenceSettings, Predictor
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from ciae_ros.inference.backends.mask_backend import MaskBackend
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.fusion.mask_assignment import MaskAssignment
from ciae_ros.inference.fusion.mask_merging import ClassCategories
from ciae_ros.inference.fusion.sampling_grid import SamplingGrid, _cached_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics
from ciae_ros.inference.geometry import image_geometry
from ciae_ros.inference.networks.mask_network import MaskOutputs
from ciae_ros.inference.proposals.selection import propose
from ciae_ros.model import CIAE, PRESETS, RawOutputs

DEVICE = torch.device("cuda:0")
SYNCHRONISING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal.default")
"""Operators whose result the host waits for."""


class HostTransfers(TorchDispatchMode):
    """Counts transfers between device and host, and synchronisations."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.operators = 0
        self.asked = False
        """Return whether the last operator was one of `SYNCHRONISING`."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.operators += 1
        name = str(func)
        self.asked = any(future in name for future in SYNCHRONISING)
        try:
            result = func(*args, **(kwargs or {}))
        except (DataDependentOutputException, DynamicOutputShapeException):
            self.asked = True
            raise
        devices = {value.device.type for value in (*args, result) if isinstance(value, Tensor) and value.dim()}
        if self.asked or ("copy" in name and devices == {"cpu", "cuda"}):
            self.found[name] += 1
        return result


def padded_nms(boxes: Tensor, classes: Tensor, valid: Tensor, threshold: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Replacement of the kernel, which needs a real device, by tensors of the same shapes."""
    return boxes.new_zeros(kept, dtype=torch.int64), boxes.new_zeros(kept, dtype=torch.bool)


def padded_greedy_selection(suppressed: Tensor, valid: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Replacement of the kernel."""
    return suppressed.new_zeros(kept, dtype=torch.int64), suppressed.new_zeros(kept, dtype=torch.bool)


def assign_and_measure(
    embedding: Tensor, queries: Tensor, boxes: Tensor, grid: SamplingGrid
) -> tuple[Tensor, SegmentStatistics]:
    """Replacement of the kernel."""
    count, winners = len(queries), boxes.new_zeros(len(grid.rows.cell), len(grid.columns.cell), dtype=torch.int16)
    statistics = SegmentStatistics(
        winners.new_zeros(count, dtype=torch.int64),
        winners.new_zeros(count, 4, dtype=torch.int64),
        winners.new_zeros(count, 2, dtype=torch.float64),
    )
    return winners, statistics


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Replacement of the kernel."""
    return index.clone()


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Predictor]:
    """A predictor on a CUDA device that need not exist."""
    monkeypatch.setattr("ciae_ros.inference.predictor.runs_triton", lambda device: True)
    monkeypatch.setattr("ciae_ros.inference.fusion.fusion.runs_triton", lambda device: True)
    monkeypatch.setattr("ciae_ros.inference.fusion.fused_image.runs_triton", lambda device: True)
    for module, kernel in (
        ("proposals.triton_nms", padded_nms),
        ("proposals.fixed_shape_selection", padded_nms),
        ("proposals.fixed_shape_selection", padded_greedy_selection),
        ("fusion.triton_assignment", assign_and_measure),
        ("fusion.triton_lookup", look_up),
    ):
        monkeypatch.setattr(f"ciae_ros.inference.{module}.{kernel.__name__}", kernel)
    with FakeTensorMode(), torch.device(DEVICE), torch.no_grad():
        model = CIAE(PRESETS["light_512"]).eval()
        predictor = object.__new__(Predictor)
        predictor.device, predictor.dtype = DEVICE, torch.float32
        predictor.is_compiled = False
        predictor.result_size, predictor._settings_on_device = "input", {}
        predictor.backend = CiaeBackend(FakeNetwork(model))
        yield predictor
    _cached_grid.cache_clear()


class FakeNetwork:
    """Replacement of `TorchNetwork`, which would fold and move the model."""

    runtime, supports_graph_capture = "", True

    def __init__(self, model: CIAE) -> None:
        self.config, self.memory, self._model = model.config, model.memory, model

    def __call__(self, batch: Tensor) -> RawOutputs:
        return self._model(batch)


class NoClock:
    """A clock that does nothing."""

    def lap(self) -> None:
        pass


@pytest.mark.parametrize("batch_size", [1, 2])
def test_preprocessing_network_and_fusion_do_not_synchronise(predictor: Predictor, batch_size: int) -> None:
    # The undecorated methods: inference mode would hide the operators from the count.
    preprocess = Predictor.preprocess.__wrapped__  # type: ignore[attr-defined]
    compute = Predictor.compute.__wrapped__  # type: ignore[attr-defined]
    geometries = [predictor.geometry(300, 400)] * batch_size
    images = [(torch.empty(300, 400, 3, dtype=torch.uint8, device=DEVICE), "bgr")] * batch_size

    def frame(settings: InferenceSettings) -> list[FusedImage]:
        batch = preprocess(predictor, images, geometries)
        fused = compute(predictor, batch, geometries, predictor.settings_on_device(settings), NoClock())
        for image in fused:
            image.table()
        return fused

    # The first frame uploads constants of the image's size and the initial thresholds.
    frame(InferenceSettings())
    with HostTransfers() as transfers:
        fused = frame(InferenceSettings(score_threshold=0.2, nms_threshold=0.5, min_stuff_area=7))
    assert transfers.operators > 100
    assert not transfers.found
    assert [image.label_map.shape for image in fused] == [(300, 400)] * batch_size
    assert all(image.label_map.device == DEVICE for image in fused)


def assign_and_measure_masks(
    mask_logits: Tensor, scores: Tensor, mask_threshold: Tensor, grid: SamplingGrid
) -> tuple[MaskAssignment, SegmentStatistics]:
    """Replacement of the kernel."""
    winners, statistics = assign_and_measure(mask_logits, scores, scores, grid)
    return MaskAssignment(winners, statistics.area, statistics.area), statistics


def test_merging_masks_does_not_synchronise(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciae_ros.inference.fusion.mask_merging.runs_triton", lambda device: True)
    kernel = assign_and_measure_masks
    monkeypatch.setattr(f"ciae_ros.inference.fusion.triton_mask_assignment.{kernel.__name__}", kernel)
    backend = object.__new__(MaskBackend)
    backend._num_queries = 20
    backend._class_categories = ClassCategories(torch.zeros(134, dtype=torch.int64), 53)
    outputs = MaskOutputs(torch.empty(2, 20, 134), torch.empty(2, 20, 40, 40))
    geometries = [image_geometry(300, 400, 160, 160)] * 2

    def merge(settings: InferenceSettings) -> list[FusedImage]:
        fused = backend.segment(outputs, geometries, predictor.settings_on_device(settings), "input", NoClock())
        for image in fused:
            image.table()
        return fused

    merge(InferenceSettings())
    with HostTransfers() as transfers:
        fused = merge(InferenceSettings(score_threshold=0.2, mask_threshold=0.4, overlap_threshold=0.3))
    assert transfers.operators > 50
    assert not transfers.found
    assert not transfers.asked
    assert [image.label_map.shape for image in fused] == [(300, 400)] * 2
    assert [len(image.segment_id) for image in fused] == [20, 20]


def test_synchronisations_are_counted(predictor: Predictor) -> None:
    numbers = torch.ones(4, device=DEVICE)
    with HostTransfers() as transfers:
        numbers.cpu()
    assert transfers.found.total() == 1
    with HostTransfers() as transfers:
        torch.zeros(4, device="cpu").to(DEVICE)
    assert transfers.found.total() == 1
    for question in (numbers[0].item, lambda: numbers[numbers > 0], lambda: torch.nonzero(numbers)):
        with HostTransfers() as transfers, suppress(DataDependentOutputException, DynamicOutputShapeException):
            question()
        assert transfers.asked


def test_the_proposals_of_the_cpu_would_be_found_out(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = predictor.backend.run_network(torch.empty(1, 3, 256, 384, device=DEVICE))
    with HostTransfers() as transfers, pytest.raises(DynamicOutputShapeException):
        propose(outputs, 0, (256, 384), InferenceSettings())
    assert transfers.asked
