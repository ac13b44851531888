# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Merging of masks: equal to the library transformers where that is right, and to the definition."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ciae_ros.inference import InferenceSettings, PanopticResult
from ciae_ros.inference.fusion.fused_image import FusedImage, NotFiniteError
from ciae_ros.inference.fusion.mask_assignment import assign_masks_by_cells, assign_masks_by_rows
from ciae_ros.inference.fusion.mask_merging import ClassCategories, merge_masks
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from tests.inference.fusion.mask_scenes import (
    CAR,
    CATEGORIES,
    CLASS_CATEGORIES,
    NUM_STUFF,
    NUM_THINGS,
    PERSON,
    ROAD,
    SETTINGS,
    SKY,
    STUFF,
    scene,
)


def merged(classes: Tensor, masks: Tensor, geometry: ImageGeometry, settings: InferenceSettings = SETTINGS) -> Any:
    return merge_masks(classes, masks, CLASS_CATEGORIES, settings, settings.min_stuff_area, geometry).to_result(
        CATEGORIES
    )


def labels_and_classes(result: PanopticResult) -> tuple[np.ndarray, list[str]]:
    return result.label_map.astype(np.int64), [segment.category.name for segment in result.segments]


def library_result(outputs: dict[str, Any], offset: int) -> tuple[np.ndarray, list[str]]:
    names = [category.name for category in (*CATEGORIES.things, *CATEGORIES.stuff)]
    return (
        outputs["segmentation"].numpy().astype(np.int64) + offset,
        [names[segment["label_id"]] for segment in outputs["segments_info"]],
    )


@pytest.mark.parametrize("size", [(160, 160), (120, 160), (97, 160)])
@pytest.mark.parametrize("seed", range(6))
def test_the_result_is_that_of_eomt_in_transformers(size: tuple[int, int], seed: int) -> None:
    transformers = pytest.importorskip("transformers")
    classes, masks = scene(seed, 40, 40)
    geometry = ImageGeometry(size, size, (160, 160))
    processor = transformers.EomtImageProcessor(size={"shortest_edge": 160, "longest_edge": 160})
    (theirs,) = processor.post_process_panoptic_segmentation(
        SimpleNamespace(class_queries_logits=classes[None], masks_queries_logits=masks[None]),
        target_sizes=[size],
        stuff_classes=list(STUFF),
    )
    labels, names = labels_and_classes(merged(classes, masks, geometry))
    # Their unlabelled pixels are -1.
    expected_labels, expected_names = library_result(theirs, offset=1)
    assert names == expected_names
    assert 5 < len(names) < 50
    # Rounding decides where products of two queries are almost equal.
    assert (labels == expected_labels).mean() > 0.9999
    assert 0 < (labels == 0).mean() < 0.9


@pytest.mark.parametrize("name", ["Mask2Former", "MaskFormer", "OneFormer", "Detr"])
def test_the_result_is_that_of_the_other_libraries_where_they_are_right(name: str) -> None:
    """They compare the product of both probabilities with the mask threshold, and keep no pixel unlabelled.

    That changes nothing with certain classes and masks that leave no gap. Each stuff class occurs only once, because
    after a merge they use ids twice.
    """
    transformers = pytest.importorskip("transformers")
    _, masks = scene(3, 384, 384, 20)
    masks = torch.full_like(masks, -12.0).scatter_(0, masks.argmax(dim=0, keepdim=True), 12.0)
    names = [*["person", "car"] * 7, *(category.name for category in CATEGORIES.stuff[:6])]
    order = [category.name for category in (*CATEGORIES.things, *CATEGORIES.stuff)]
    classes = class_logits([order.index(name) for name in names])
    processor = getattr(transformers, f"{name}ImageProcessor")()
    fields = ("logits", "pred_masks") if name == "Detr" else ("class_queries_logits", "masks_queries_logits")
    (theirs,) = processor.post_process_panoptic_segmentation(
        SimpleNamespace(**dict(zip(fields, (classes[None], masks[None]), strict=True))),
        threshold=0.8,
        target_sizes=[(384, 384)],
        label_ids_to_fuse=set(STUFF),
    )
    result = merged(classes, masks, ImageGeometry((384, 384), (384, 384), (384, 384)))
    expected_labels, expected_names = library_result(theirs, offset=0)
    labels, found = labels_and_classes(result)
    assert found == expected_names
    assert len(found) > 10
    assert (labels == expected_labels).all()


def test_ids_are_never_used_twice() -> None:
    """Stuff, thing, the same stuff again, thing: transformers gives the last thing the id of the first."""
    masks = torch.full((4, 8, 16), -10.0)
    for query in range(4):
        masks[query, :, 4 * query : 4 * query + 4] = 10.0
    classes = class_logits([SKY, CAR, SKY, CAR])
    result = merged(classes, masks, ImageGeometry((8, 16), (8, 16), (8, 16)))
    assert [(segment.category.name, segment.area) for segment in result.segments] == [
        ("sky-other-merged", 64),
        ("car", 32),
        ("car", 32),
    ]
    assert result.label_map[0].tolist() == [1] * 4 + [2] * 4 + [1] * 4 + [3] * 4
    sky = result.segments[0]
    assert (sky.box, sky.centroid) == ((0, 0, 12, 8), (pytest.approx(5.5), pytest.approx(3.5)))


def class_logits(labels: list[int], score: float = 20.0) -> Tensor:
    classes = torch.zeros(len(labels), NUM_THINGS + NUM_STUFF + 1)
    classes[torch.arange(len(labels)), labels] = score
    return classes


GEOMETRIES = [
    ImageGeometry((64, 96), (64, 96), (64, 96)),
    image_geometry(111, 253, 64, 128),
    image_geometry(300, 200, 64, 96),
    ImageGeometry((50, 70), (64, 64), (64, 64)),
    ImageGeometry((3, 5), (60, 64), (64, 64)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: "x".join(map(str, geometry.original)))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_cells_equal_all_products_of_every_pixel(geometry: ImageGeometry, threshold: float) -> None:
    _, masks = scene(1, geometry.padded[0] // 4, geometry.padded[1] // 4, 30)
    scores = torch.rand(30, generator=torch.Generator().manual_seed(2)) * 0.2 + 0.8
    grid = sampling_grid(geometry, masks)
    by_cells = assign_masks_by_cells(masks, scores, threshold, grid)
    by_rows = assign_masks_by_rows(masks, scores, threshold, grid)
    different = (by_cells.winners != by_rows.winners).sum()
    assert different <= 1e-4 * by_rows.winners.numel()
    assert (by_cells.won_area - by_rows.won_area).abs().sum() <= 2 * max(1, int(different))
    assert (by_cells.mask_area - by_rows.mask_area).abs().max() <= 1
    assert by_cells.won_area.sum() == by_rows.won_area.sum() == by_rows.winners.numel()


def test_the_area_of_a_query_without_a_score_is_not_won() -> None:
    masks = torch.full((2, 4, 4), 10.0)
    grid = sampling_grid(ImageGeometry((16, 16), (16, 16), (16, 16)), masks)
    found = assign_masks_by_rows(masks, torch.tensor([0.0, 0.0]), 0.5, grid)
    assert (found.winners == 2).all()
    assert found.won_area.tolist() == [0, 0]


def test_nothing_is_found_where_no_query_is_certain() -> None:
    result = merged(
        class_logits([SKY, CAR], score=1.0), torch.ones(2, 4, 4), ImageGeometry((16, 16), (16, 16), (16, 16))
    )
    assert result.segments == ()
    assert (result.label_map == 0).all()


def test_thresholds_have_their_meaning() -> None:
    geometry = ImageGeometry((16, 16), (16, 16), (16, 16))
    masks = torch.full((2, 4, 4), -4.0)
    masks[0, :, :3], masks[1, :, 1:] = 1.0, 4.0
    classes = class_logits([ROAD, CAR])

    def areas(**settings: float) -> dict[str, int]:
        result = merged(classes, masks, geometry, replace(SETTINGS, **settings))
        return {segment.category.name: segment.area for segment in result.segments}

    everything = areas(overlap_threshold=0.0)
    assert set(everything) == {"road", "car"}
    # The road's probability is 0.73, and the car covers a part of its mask.
    assert set(areas(overlap_threshold=0.0, mask_threshold=0.8)) == {"car"}
    assert set(areas()) == {"car"}
    assert areas(overlap_threshold=0.0, min_stuff_area=everything["road"]) == everything
    assert set(areas(overlap_threshold=0.0, min_stuff_area=everything["road"] + 1)) == {"car"}
    assert set(areas(overlap_threshold=0.0, score_threshold=1.0)) == set()


def test_only_the_best_things_are_kept() -> None:
    masks = torch.full((4, 4, 16), -10.0)
    for query in range(4):
        masks[query, :, 4 * query : 4 * query + 4] = 10.0
    classes = class_logits([CAR, SKY, PERSON, CAR])
    classes[:, CAR] *= 0.6
    classes[3, CAR] *= 0.9
    geometry = ImageGeometry((16, 64), (16, 64), (16, 64))
    for maximum, expected in (
        (1, "sky-other-merged person"),
        (2, "car sky-other-merged person"),
        (3, "car sky-other-merged person car"),
    ):
        result = merged(classes, masks, geometry, replace(SETTINGS, max_instances=maximum))
        assert " ".join(segment.category.name for segment in result.segments) == expected


def test_classes_without_a_category_are_no_objects() -> None:
    class_categories = ClassCategories(CLASS_CATEGORIES.category.clone(), NUM_STUFF)
    class_categories.category[CAR] = -1
    masks = torch.full((1, 4, 4), 10.0)
    fused = merge_masks(
        class_logits([CAR]), masks, class_categories, SETTINGS, 0, ImageGeometry((16, 16), (16, 16), (16, 16))
    )
    assert fused.to_result(CATEGORIES).segments == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accepted(dtype: torch.dtype) -> None:
    classes, masks = scene(1, 40, 40)
    geometry = ImageGeometry((160, 160), (160, 160), (160, 160))
    full, half = merged(classes, masks, geometry), merged(classes.to(dtype), masks.to(dtype), geometry)
    assert (full.semantic_map() == half.semantic_map()).mean() > 0.95


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_logits_that_are_not_finite_are_reported(value: float, which: int) -> None:
    logits = scene(1, 40, 40)
    logits[which].view(-1)[7] = value
    with pytest.raises(NotFiniteError):
        merged(*logits, ImageGeometry((160, 160), (160, 160), (160, 160)))


def test_statistics_are_those_of_the_labels() -> None:
    classes, masks = scene(5, 40, 56)
    result = merged(classes, masks, image_geometry(333, 444, 160, 224))
    assert len(result.segments) > 5
    assert set(np.unique(result.label_map)) == {0, *(segment.id for segment in result.segments)}
    for segment in result.segments:
        y, x = np.nonzero(result.label_map == segment.id)
        assert segment.area == len(x)
        assert segment.box == (x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1)
        assert segment.centroid == (pytest.approx(x.mean()), pytest.approx(y.mean()))
    assert isinstance(
        merge_masks(classes, masks, CLASS_CATEGORIES, SETTINGS, 0, image_geometry(64, 64, 160, 224)), FusedImage
    )
