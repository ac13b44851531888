# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images of a network in training, and their drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.model import CIAE, ModelConfig
from ciae_ros.visualization import draw_proposals, embedding_colors
from tests.training.synthetic import CATEGORIES, scene, write_split
from training.data.augmentation import Augmentation
from training.data.dataset import Batch, Draw, Item, PanopticDataset, collate
from training.data.sample import CROWD, VOID
from training.data.target import make_target
from training.engine.tensorboard_images import training_images

NAMES = ["1 proposals", "2 embedding", "3 result", "4 ground truth"]


def _model(**options: object) -> CIAE:
    tiny = {"fpn_channels": 32, "embedding_channels": 32, "head_convs": 1, "embedding_dim": 8}
    values = {"backbone": "timm/mobilenetv3_small_050", "num_stuff_classes": 2, "num_thing_classes": 2}
    return CIAE(ModelConfig(**(values | tiny | options)))


def _batch_of(segments: Tensor, classes: list[int], image: Tensor | None = None) -> Batch:
    """One image, and a larger one after it, so that the first has padding."""
    height, width = segments.shape
    if image is None:
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    target = make_target(segments, torch.tensor(classes, dtype=torch.int64), 2)
    larger = torch.zeros(height + 20, width + 30, dtype=torch.int16)
    other = make_target(larger, torch.tensor([], dtype=torch.int64), 2)
    return collate([Item(1, image, target, 0), Item(2, torch.zeros(3, *larger.shape, dtype=torch.uint8), other, 0)])


def _instances() -> tuple[Tensor, list[int]]:
    segments = torch.zeros(60, 80, dtype=torch.int16)
    segments[:20] = 1
    segments[25:45, 5:30], segments[30:55, 40:70] = 2, 3
    segments[50:, :20], segments[:10, 60:] = VOID, CROWD
    return segments, [1, 0]


SCENES = {
    "instances": _instances(),
    "stuff alone": (torch.randint(0, 2, (60, 80), dtype=torch.int16), []),
    "one instance alone": (torch.full((60, 80), 2, dtype=torch.int16), [1]),
    "a crowd alone": (torch.full((60, 80), CROWD, dtype=torch.int16), []),
    "nothing": (torch.full((33, 47), VOID, dtype=torch.int16), []),
}
MODELS = {
    "default": {},
    "semantic branch": {"semantic_branch": True},
    "class-agnostic": {
        "memory_of_things": "per_class",
        "class_agnostic_detector": True,
        "instance_category": "embedding",
    },
}


@pytest.mark.parametrize("scene_name", SCENES)
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("threshold", [0.0, 0.99])
def test_four_images_of_the_same_size(scene_name: str, options: dict[str, object], threshold: float) -> None:
    segments, classes = SCENES[scene_name]
    settings = InferenceSettings(score_threshold=threshold, min_stuff_area=0)
    pictures = training_images(_model(**options), _batch_of(segments, classes), CATEGORIES, settings)
    assert list(pictures) == NAMES
    for picture in pictures.values():
        assert picture.shape == (*segments.shape, 3)
        assert picture.dtype == np.uint8
        torch.from_numpy(picture)  # As TensorBoard's writer gets it: no negative strides.


def test_colours_are_those_of_the_image() -> None:
    """Where nothing is drawn, the original image is shown: red stays red."""
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    image[0], image[1] = 200, 30
    void = torch.full((60, 80), VOID, dtype=torch.int16)
    pictures = training_images(_model(), _batch_of(void, [], image), CATEGORIES, InferenceSettings(0.99))
    for name in ("1 proposals", "4 ground truth"):
        assert (pictures[name] == [200, 30, 0]).all(), name


def test_the_ground_truth_has_the_colours_of_its_categories() -> None:
    """Half of an image that is black is the category's colour: road, sky, and a person and a car, a little varied."""
    segments, classes = _instances()
    black = torch.zeros(3, 60, 80, dtype=torch.uint8)
    pictures = training_images(_model(), _batch_of(segments, classes, black), CATEGORIES, InferenceSettings())
    truth = pictures["4 ground truth"].astype(int)
    for (y, x), color in {(57, 50): (0, 127, 0), (15, 20): (0, 0, 127)}.items():
        np.testing.assert_allclose(truth[y, x], color, atol=1)
    for (y, x), color in {(27, 8): (4, 4, 4), (53, 42): (127, 0, 0)}.items():
        np.testing.assert_allclose(truth[y, x], color, atol=17)
    assert not truth[55, 5].any()  # Void.
    assert not truth[4, 75].any()  # A crowd.


def test_images_do_not_modify_model_and_batch() -> None:
    model = _model()
    model.train()
    model.backbone.body.bn1.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    batch = _batch_of(*_instances())
    images, segments = batch.images.clone(), batch.target.segments.clone()
    random_numbers = torch.get_rng_state()
    training_images(model, batch, CATEGORIES, InferenceSettings())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(batch.images, images) and torch.equal(batch.target.segments, segments)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_of_a_data_set(tmp_path: Path) -> None:
    annotations = write_split(tmp_path, {1: scene(1)})
    transform = Augmentation(shorter_side=(48, 48), longer_side=80).build((0, 0, 0))
    dataset = PanopticDataset(annotations, tmp_path / "tiny", transform)
    pictures = training_images(_model(), collate([dataset[Draw(0, 0)]]), CATEGORIES, InferenceSettings())
    assert {picture.shape for picture in pictures.values()} == {(48, 64, 3)}


# Embeddings.


def _regions(embeddings: np.ndarray, padding: int = 0) -> np.ndarray:
    """(D, 12 + padding, 20 + padding): eight regions in two rows with these embeddings (8, D); noise in the padding."""
    regions = np.arange(8).reshape(2, 4).repeat(6, axis=0).repeat(5, axis=1)
    padded = np.random.default_rng(1).normal(size=(embeddings.shape[1], 12 + padding, 20 + padding))
    padded[:, :12, :20] = embeddings[regions].transpose(2, 0, 1)
    return padded.astype(np.float32)


def _colors_of_regions(colors: np.ndarray) -> list[np.ndarray]:
    """(n, 3) for each region, away from where colours are interpolated."""
    return [colors[y : y + 16, x : x + 12].reshape(-1, 3).astype(int) for y in (4, 28) for x in range(4, 80, 20)]


def test_equal_embeddings_have_equal_colours_and_others_other_ones() -> None:
    embeddings = np.random.default_rng(0).normal(size=(8, 8))
    embeddings[7] = 5 * embeddings[0]  # The same direction.
    regions = _colors_of_regions(embedding_colors(_regions(embeddings), (48, 80)))
    for region in regions:
        assert np.ptp(region, axis=0).max() <= 1
    colors = [region[0] for region in regions]
    assert np.abs(colors[0] - colors[7]).max() <= 1
    for a in range(7):
        for b in range(a):
            assert np.abs(colors[a] - colors[b]).max() > 10, (a, b)


def test_similar_embeddings_have_similar_colours() -> None:
    embeddings = np.random.default_rng(0).normal(size=(8, 8))
    embeddings[7] = embeddings[0] + 0.05 * embeddings[1]
    colors = [region[0] for region in _colors_of_regions(embedding_colors(_regions(embeddings), (48, 80)))]
    assert 1 < np.abs(colors[0] - colors[7]).max() < 30


def test_padding_has_no_influence_on_colours() -> None:
    embeddings = np.random.default_rng(0).normal(size=(8, 8))
    plain, padded = (embedding_colors(_regions(embeddings, padding), (48, 80)) for padding in (0, 4))
    np.testing.assert_array_equal(plain, padded)


@pytest.mark.parametrize("size", [(48, 80), (45, 77), (1, 1), (3, 80)])
def test_colours_have_the_images_size(size: tuple[int, int]) -> None:
    colors = embedding_colors(np.random.default_rng(0).normal(size=(8, 12, 20)).astype(np.float32), size)
    assert colors.shape == (*size, 3) and colors.dtype == np.uint8


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_embedding_has_one_colour(value: float) -> None:
    colors = embedding_colors(np.full((8, 12, 20), value, np.float32), (48, 80))
    assert (colors == colors[0, 0]).all()


# Proposals.


def test_drawing_proposals_leaves_the_image_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    before = image.copy()
    boxes, locations = np.array([[10.0, 5.0, 40.0, 30.0], [-5, -5, 90, 70]]), np.array([[20.0, 15.0], [70, 50]])
    drawn = draw_proposals(image, boxes, locations)
    np.testing.assert_array_equal(image, before)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (drawn[5, 12:38] == drawn[5, 12]).all()  # The upper edge of the first box.
    assert (drawn[29, 12:38] == drawn[5, 12]).all()  # Its last row of pixels.
    assert (drawn[12:18, 20] == drawn[5, 12]).all()  # The pixel that proposes it.
    assert (drawn[50, 70] != drawn[5, 12]).any()  # Another one has another colour.
    np.testing.assert_array_equal(drawn[32:44, 5:60], image[32:44, 5:60])


def test_no_proposals_are_drawn_as_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    drawn = draw_proposals(image, np.zeros((0, 4)), np.zeros((0, 2)))
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image
