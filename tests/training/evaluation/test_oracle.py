# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The oracle of Table V: ground-truth boxes and masks, mean embeddings as queries."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of, write_results
from ciae_ros.inference import InferenceSettings, PanopticResult, untrained_checkpoint
from ciae_ros.inference.fusion.fusion import fuse_instances
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.model import PRESETS
from tests.training.synthetic import CATEGORIES, scene, write_split
from training.data.sample import CROWD, VOID, Sample, read_sample
from training.evaluation.metrics import compute_scores
from training.evaluation.oracle import OraclePredictor, mean_embeddings, true_instances

LIGHT = replace(
    PRESETS["light_512"], num_stuff_classes=2, num_thing_classes=2, input_size=64, max_input_size=128, embedding_dim=8
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mean_embeddings_equal_a_brute_force(dtype: torch.dtype) -> None:
    geometry = image_geometry(75, 100, 48, 96)
    embedding = torch.randn(5, geometry.padded[0] // 4, geometry.padded[1] // 4).to(dtype)
    segments = torch.randint(0, 3, (75, 100))
    segments[0, 0] = 3
    means = mean_embeddings(embedding, segments, 5, geometry)
    assert means.dtype == torch.float32
    upsampled = _upsample(embedding.double().numpy(), geometry)
    for k in range(4):
        expected = upsampled[:, (segments == k).numpy()].mean(axis=1)
        np.testing.assert_allclose(means[k].numpy(), expected, atol=1e-5)
    assert (means[4] == 0).all()


def _upsample(embedding: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    """(D, H, W): bilinear at each pixel's centre, one after the other; samples lie in the middle of 4 x 4 pixels."""
    height, width = geometry.original
    _, rows, columns = embedding.shape
    upsampled = np.empty((len(embedding), height, width))
    for i in range(height):
        y = min(max((i + 0.5) * geometry.scale_y / 4 - 0.5, 0), rows - 1)
        y0, y1, fy = math.floor(y), min(math.floor(y) + 1, rows - 1), y % 1
        for j in range(width):
            x = min(max((j + 0.5) * geometry.scale_x / 4 - 0.5, 0), columns - 1)
            x0, x1, fx = math.floor(x), min(math.floor(x) + 1, columns - 1), x % 1
            upper = (1 - fx) * embedding[:, y0, x0] + fx * embedding[:, y0, x1]
            lower = (1 - fx) * embedding[:, y1, x0] + fx * embedding[:, y1, x1]
            upsampled[:, i, j] = (1 - fy) * upper + fy * lower
    return upsampled


def test_mean_is_taken_before_the_normalisation() -> None:
    geometry = image_geometry(32, 64, 32, 64)
    embedding = torch.zeros(2, 8, 16)
    embedding[0, :, :8], embedding[1, :, 8:] = 1.0, 3.0
    mean = mean_embeddings(embedding, torch.zeros(32, 64, dtype=torch.int64), 1, geometry)
    torch.testing.assert_close(mean, torch.tensor([[0.5, 1.5]]))


def test_true_instances_are_those_annotated() -> None:
    segments = torch.full((40, 60), VOID, dtype=torch.int16)
    segments[:10] = 1
    segments[20:30, 5:15] = 2 + 1
    segments[12:18, 40:60] = 2 + 0
    segments[35:, 30:] = CROWD
    sample = Sample(torch.zeros(3, 40, 60, dtype=torch.uint8), segments, torch.tensor([1, 0]))
    # Twice as high and three times as wide in the network.
    geometry = ImageGeometry(original=(40, 60), resized=(80, 180), padded=(96, 192))
    instances = true_instances(torch.randn(4, 24, 48), sample, 2, geometry)
    assert instances.classes.tolist() == [1, 0]
    assert instances.scores.tolist() == [1.0, 1.0]
    assert instances.queries.shape == (2, 4)
    torch.testing.assert_close(instances.boxes, torch.tensor([[120.0, 24.0, 180.0, 36.0], [15.0, 40.0, 45.0, 60.0]]))


def test_image_without_instances() -> None:
    sample = Sample(
        torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.int16), torch.zeros(0).long()
    )
    geometry = image_geometry(8, 8, 32, 32)
    instances = true_instances(torch.randn(4, 8, 8), sample, 2, geometry)
    assert instances.queries.shape == (0, 4)
    assert instances.boxes.shape == (0, 4)


def separable_result(sample: Sample, annotations: PanopticAnnotations) -> PanopticResult:
    """The oracle's result for an embedding that has a direction for each segment, with a sample for every pixel."""
    num_stuff = len(annotations.categories.stuff)
    num_segments = num_stuff + len(sample.classes)
    height, width = sample.segments.shape
    size = 4 * height, 4 * width
    geometry = ImageGeometry(original=(height, width), resized=size, padded=size)
    directions = torch.eye(num_segments)
    # With different lengths, which affect the mean but not the assignment.
    lengths = 0.5 + torch.rand(height, width, 1)
    embedding = (directions[sample.segments.clamp(min=0).long()] * lengths).permute(2, 0, 1)
    instances = true_instances(embedding, sample, num_stuff, geometry)
    fused = fuse_instances(embedding, instances, directions[:num_stuff], 0, geometry)
    return fused.to_result(annotations.categories)


def pq_of_separable_embeddings(annotations: PanopticAnnotations, results: Path) -> tuple[float, float, float]:
    images = image_folder_of(annotations.path)
    write_results(
        (
            (i, entry["file_name"], separable_result(read_sample(annotations, images, i), annotations))
            for i, entry in annotations.annotations.items()
        ),
        results,
        annotations,
    )
    scores = compute_scores(annotations, results)
    return scores.all.pq, scores.things.pq, scores.stuff.pq


def test_separable_instances_give_pq_100(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {number: scene(number, crowd=False) for number in (1, 2)})
    assert pq_of_separable_embeddings(annotations, tmp_path / "results.json") == pytest.approx((1.0, 1.0, 1.0))


def test_separable_instances_of_real_images_give_pq_100(data: Path, tmp_path: Path) -> None:
    annotations = PanopticAnnotations.load(data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json")
    without_crowd = {
        image_id: entry
        for image_id, entry in annotations.annotations.items()
        if not any(info["iscrowd"] for info in entry["segments_info"])
    }
    annotations = replace(annotations, annotations=without_crowd).first(2)
    assert pq_of_separable_embeddings(annotations, tmp_path / "results.json") == pytest.approx((1.0, 1.0, 1.0))


def test_predictor_keeps_each_instance_in_its_box_and_class(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {1: scene(1)})
    sample = read_sample(annotations, image_folder_of(annotations.path), 1)
    settings = InferenceSettings(min_stuff_area=0)
    result = OraclePredictor(untrained_checkpoint("light", LIGHT, CATEGORIES), settings=settings).predict_sample(sample)
    assert result.label_map.shape == (60, 80)
    truth = [
        info
        for info in annotations.annotations[1]["segments_info"]
        if not info["iscrowd"] and CATEGORIES.by_id[info["category_id"]].is_thing
    ]
    things = [segment for segment in result.segments if segment.category.is_thing]
    # Random embeddings: each instance still wins a pixel near its mean, and none outside its box.
    assert [segment.category.id for segment in things] == [info["category_id"] for info in truth]
    for segment, info in zip(things, truth, strict=True):
        x, y, width, height = segment.box
        true_x, true_y, true_width, true_height = info["bbox"]
        assert x >= true_x and y >= true_y
        assert x + width <= true_x + true_width and y + height <= true_y + true_height


def test_embedding_is_the_ordinary_predictors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = write_split(tmp_path, {1: scene(1)})
    sample = read_sample(annotations, image_folder_of(annotations.path), 1)
    predictor = OraclePredictor(untrained_checkpoint("light", LIGHT, CATEGORIES))
    seen = []

    def remember(embedding: torch.Tensor, *arguments: object) -> None:
        seen.append(embedding)
        raise InterruptedError

    monkeypatch.setattr("ciae_ros.inference.backends.ciae_backend.fuse", remember)
    monkeypatch.setattr("training.evaluation.oracle.fuse_instances", remember)
    with pytest.raises(InterruptedError):
        predictor.predict(sample.image.permute(1, 2, 0).contiguous().numpy(), "rgb")
    with pytest.raises(InterruptedError):
        predictor.predict_sample(sample)
    ordinary, oracle = seen
    assert ordinary.std() > 0
    assert torch.equal(oracle, ordinary)
