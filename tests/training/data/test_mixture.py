# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data sets that are mixed in fixed shares."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import yaml

from ciae_ros.inference import Category, CategorySet
from tests.training.run.tiny_run import tiny_configuration, write_data_set
from tests.training.synthetic import CATEGORIES
from training.config import ConfigError, TrainingConfig, load_config
from training.data.dataset import BatchSampler, Draw, TrainingImages
from training.data.sample import DataError
from training.engine.builders import build_dataset


def configuration(root: Path, *overrides: str, shares: tuple[float, ...] = (0.5, 0.2)) -> TrainingConfig:
    """Return a configuration with 4 images in `train`, and as many data sets of 6 images as shares."""
    values = tiny_configuration(write_data_set(root / "first", 4))
    values["data"]["mix"] = [
        {"train": str(write_data_set(root / f"other{number}", 6)), "share": share}
        for number, share in enumerate(shares)
    ]
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return load_config(path, list(overrides))


def draws(dataset: TrainingImages, count: int, first: int = 0) -> list[list[Draw]]:
    return list(islice(BatchSampler(dataset, 2, seed=3, first=first), count))


def test_each_data_set_has_its_share(tmp_path: Path) -> None:
    dataset = build_dataset(configuration(tmp_path))
    assert len(dataset) == 16 and dataset.categories == CATEGORIES
    counts = Counter(draw.position for batch in draws(dataset, 2000) for draw in batch)
    shares = [sum(counts[position] for position in part) / 4000 for part in (range(4), range(4, 10), range(10, 16))]
    assert shares == pytest.approx([0.3, 0.5, 0.2], abs=0.03)
    # Within a data set, all images come equally often.
    assert max(counts[position] for position in range(4, 10)) - min(counts[position] for position in range(4, 10)) <= 1


def test_the_batches_depend_on_the_seed_only(tmp_path: Path) -> None:
    dataset = build_dataset(configuration(tmp_path))
    assert draws(dataset, 20) == draws(dataset, 20)
    assert draws(dataset, 15, first=5) == draws(dataset, 20)[5:]


def test_images_are_those_of_their_data_set(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    dataset = build_dataset(config)
    item = dataset[Draw(5, 7)]
    data = config.data.model_copy(update={"train": config.data.mix[0].train, "mix": ()})
    alone = build_dataset(config.model_copy(update={"data": data}))
    same = alone[Draw(1, 7)]
    assert item.image.equal(same.image) and item.target.segments.equal(same.target.segments)
    assert item.image_id == f"{config.data.mix[0].train}: {same.image_id}"


def test_without_a_mix_the_batches_are_those_of_the_data_set(tmp_path: Path) -> None:
    """The order of existing configurations does not change."""
    dataset = build_dataset(configuration(tmp_path, shares=()))
    positions = [draw.position for batch in draws(dataset, 4) for draw in batch]
    assert sorted(positions[:4]) == sorted(positions[4:]) == [0, 1, 2, 3]


def test_other_categories_are_refused(tmp_path: Path) -> None:
    config = configuration(tmp_path, shares=())
    others = CategorySet((*CATEGORIES.categories, Category(40, "lamp", False, (1, 2, 3))))
    other = write_data_set(tmp_path / "lamps", 2, others)
    mixed = load_config(tmp_path / "config.yaml", [f"data.mix=[{{train: {other}, share: 0.5}}]"])
    with pytest.raises(DataError, match="has other categories than"):
        build_dataset(mixed)
    assert config.data.mix == ()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (1.0,), (0.0,)])
def test_shares_must_leave_a_rest(tmp_path: Path, shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="share"):
        configuration(tmp_path, shares=shares)
