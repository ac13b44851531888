# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The assignment of masks by the kernel, compared with that of PyTorch's operators, and the result with the CPU's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.fusion.fused_image import NotFiniteError
from ciae_ros.inference.fusion.mask_assignment import assign_masks_by_rows
from ciae_ros.inference.fusion.mask_merging import merge_masks
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import statistics_from_projections
from ciae_ros.inference.fusion.triton_mask_assignment import assign_and_measure_masks
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.settings import DeviceSettings
from tests.inference.fusion.mask_scenes import CATEGORIES, CLASS_CATEGORIES, SETTINGS, scene
from tests.inference.fusion.test_triton_assignment import on_device
from tests.inference.triton_device import DEVICE, INTERPRETED, needs_cuda, needs_device

pytestmark = needs_device

GEOMETRIES = [
    image_geometry(37, 61, 64, 128),
    ImageGeometry((50, 40), (64, 64), (64, 64)),
    image_geometry(1, 1, 32, 64),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: "x".join(map(str, geometry.original)))
@pytest.mark.parametrize("kept", [0, 1, 7, 12])
@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_the_kernel_equals_the_operators(geometry: ImageGeometry, kept: int, threshold: float) -> None:
    _, masks = scene(1, geometry.padded[0] // 4, geometry.padded[1] // 4, 12)
    scores = torch.rand(12) * 0.2 + 0.8
    scores[torch.randperm(12)[kept:]] = 0
    grid = sampling_grid(geometry, masks)
    expected = assign_masks_by_rows(masks, scores, threshold, grid)
    found, statistics = assign_and_measure_masks(masks.to(DEVICE), scores.to(DEVICE), threshold, on_device(grid))
    different = int((found.winners.cpu() != expected.winners).sum())
    assert different <= 1e-3 * expected.winners.numel()
    assert (found.won_area.cpu() - expected.won_area).abs().sum() <= 2 * different
    is_kept = scores > 0
    assert (found.mask_area.cpu() - expected.mask_area)[is_kept].abs().sum() <= 1
    counted = statistics_from_projections(found.winners.cpu(), 13)
    has_pixels = counted.area[:-1] > 0
    for ours, theirs in zip(statistics, counted, strict=True):
        assert torch.equal(ours.cpu()[has_pixels], theirs[:-1][has_pixels])
    assert torch.equal(statistics.area.cpu(), counted.area[:-1])


@pytest.mark.parametrize("seed", range(2))
def test_the_result_equals_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    classes, masks = scene(seed, 24, 32, 25)
    geometry = image_geometry(66, 90, 96, 128)
    settings = replace(SETTINGS, max_instances=10, min_stuff_area=20)
    expected = merge_masks(classes, masks, CLASS_CATEGORIES, settings, 20, geometry).to_result(CATEGORIES)
    if INTERPRETED:
        monkeypatch.setattr("ciae_ros.inference.fusion.mask_merging.runs_triton", lambda device: True)
    class_categories = replace(CLASS_CATEGORIES, category=CLASS_CATEGORIES.category.to(DEVICE))
    on_device_settings = DeviceSettings(settings, DEVICE)
    fused = merge_masks(
        classes.to(DEVICE),
        masks.to(DEVICE),
        class_categories,
        on_device_settings,
        on_device_settings.min_stuff_area,
        geometry,
    )
    assert len(fused.segment_id) == 25
    result = fused.to_result(CATEGORIES)
    assert len(result.segments) > 3
    assert [segment.category for segment in result.segments] == [segment.category for segment in expected.segments]
    assert (result.label_map == expected.label_map).mean() > 0.999
    for segment in result.segments:
        y, x = np.nonzero(result.label_map == segment.id)
        assert (segment.area, segment.box[:2]) == (len(x), (x.min(), y.min()))


def test_logits_that_are_not_finite_are_reported_with_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    if INTERPRETED:
        monkeypatch.setattr("ciae_ros.inference.fusion.mask_merging.runs_triton", lambda device: True)
    classes, masks = (each.to(DEVICE) for each in scene(1, 16, 16, 6))
    masks[0, 3, 3] = torch.nan
    class_categories = replace(CLASS_CATEGORIES, category=CLASS_CATEGORIES.category.to(DEVICE))
    fused = merge_masks(classes, masks, class_categories, InferenceSettings(), 0, image_geometry(64, 64, 64, 64))
    with pytest.raises(NotFiniteError):
        fused.to_result(CATEGORIES)


@needs_cuda
def test_nothing_synchronises() -> None:
    classes, masks = (each.to(DEVICE) for each in scene(1, 160, 160, 100))
    geometry, settings = image_geometry(480, 640, 640, 640), DeviceSettings(SETTINGS, DEVICE)
    class_categories = replace(CLASS_CATEGORIES, category=CLASS_CATEGORIES.category.to(DEVICE))
    merge_masks(classes, masks, class_categories, settings, settings.min_stuff_area, geometry)
    torch.cuda.set_sync_debug_mode("error")
    try:
        merge_masks(classes, masks, class_categories, settings, settings.min_stuff_area, geometry)
    finally:
        torch.cuda.set_sync_debug_mode("default")
