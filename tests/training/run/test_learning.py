# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A training run from its configuration to its files: it learns, and reads its data correctly."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import training.engine.step as step_module
from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import load_checkpoint
from ciae_ros.model import ModelConfig
from tests.training import synthetic
from tests.training.run.tiny_run import (
    ITERATIONS,
    RunningTraining,
    assert_same_result,
    copy_of_run,
    logged,
    saved_state,
    steps,
    tensors_in,
    tiny_model,
    train_with,
    write_data_set,
)
from training.config import load_config
from training.data.dataset import Batch, BatchSampler, PanopticDataset, load_batches

# Learning.


def test_losses_fall(finished: Path) -> None:
    for name, bound in {"total": 0.7, "class": 0.6, "cae": 0.6, "iae": 0.6, "centerness": 1.0, "box": 1.1}.items():
        losses = logged(finished, f"loss/{name}")
        assert len(losses) == ITERATIONS
        assert np.mean(losses[-4:]) < bound * np.mean(losses[:3]), (name, losses)


def test_total_is_eq_15(finished: Path) -> None:
    """With Eq. 12's alpha of 2."""
    parts = {n: np.array(logged(finished, f"loss/{n}")) for n in ("class", "box", "centerness", "cae", "iae")}
    total = parts["class"] + parts["box"] + parts["centerness"] + parts["cae"] + 2 * parts["iae"]
    np.testing.assert_allclose(logged(finished, "loss/total"), total, rtol=1e-5)


def test_losses_fall_on_real_images(data: Path, config: Path, tmp_path: Path) -> None:
    annotations = data / "coco_panoptic_mini/annotations/panoptic_train2017.json"
    overrides = [
        f"data.train={annotations}",
        "data.max_images=2",
        "augmentation={shorter_side: [64, 64], longer_side: 96, flip: 0}",
        "optimization.iterations=30",
        "optimization.autocast=bf16",
        "checkpoint_every=1000",
    ]
    assert train_with(config, tmp_path / "real", *overrides) == 0
    losses = logged(tmp_path / "real", "loss/total")
    assert np.mean(losses[-3:]) < 0.4 * np.mean(losses[:3]), losses


def test_outputs_of_a_finished_run(finished: Path, config: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {"state.pt", "model.safetensors", "config.yaml", "tensorboard"}
    assert load_config(finished / "config.yaml", []) == load_config(config, [])
    checkpoint = load_checkpoint(finished / "model.safetensors")
    assert checkpoint.categories == synthetic.CATEGORIES
    assert checkpoint.settings.min_stuff_area == 16
    assert checkpoint.model.config.embedding_dim == 8


def test_a_finished_run_is_not_trained_on(config: Path, finished: Path, tmp_path: Path) -> None:
    output = copy_of_run(finished, tmp_path)
    (output / "model.safetensors").unlink()
    assert train_with(config, output) == 0
    assert_same_result(output, finished)


# Precision.


@pytest.mark.parametrize(("autocast", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_used_and_trains(
    config: Path, finished: Path, tmp_path: Path, autocast: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    training_loss = step_module.training_loss

    def spy(outputs: Any, *arguments: Any) -> Any:
        losses = training_loss(outputs, *arguments)
        seen.add((outputs.embedding.dtype, outputs.class_logits[0].dtype, losses.total.dtype))
        return losses

    monkeypatch.setattr(step_module, "training_loss", spy)
    overrides = [f"optimization.autocast={autocast}", "optimization.iterations=8"]
    assert train_with(config, tmp_path / "run", *overrides) == 0
    assert seen == {(dtype, dtype, torch.float32)}
    assert all(
        p.dtype == torch.float32
        for p in tensors_in(saved_state(tmp_path / "run")["model"]).values()
        if p.is_floating_point()
    )
    losses, exact = logged(tmp_path / "run", "loss/total"), logged(finished, "loss/total")
    # The scaler skips the first steps in fp16, whose gradients it had scaled too high.
    np.testing.assert_allclose(losses[:2], exact[:2], rtol=0.05)
    assert losses[-1] < 0.9 * losses[0]


# Data.


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_that_names_it(config: Path, tmp_path: Path, workers: int) -> None:
    path = write_data_set(tmp_path, 4)
    (tmp_path / "tiny" / "0002.png").unlink()
    run = RunningTraining(config, tmp_path / "run", f"data.train={path}", f"data.workers={workers}")
    assert run.exit_code() == 1
    (line,) = (line for line in run.log.splitlines() if "training" in line and "output in" not in line)
    assert line.startswith("training: ") and "0002.png is missing" in line
    assert "Traceback" not in run.log


@pytest.mark.filterwarnings("ignore:skipped")
def test_unreadable_images_are_skipped_and_counted(config: Path, tmp_path: Path) -> None:
    path = write_data_set(tmp_path, 4)
    (tmp_path / "tiny" / "0002.png").unlink()
    overrides = [f"data.train={path}", "data.skip_unreadable=true", "optimization.iterations=4"]
    assert train_with(config, tmp_path / "run", *overrides) == 0
    assert saved_state(tmp_path / "run")["skipped_images"] == 2  # Once in each of two epochs.
    assert logged(tmp_path / "run", "run/skipped_images")[-1] == 2


def test_the_run_takes_the_samplers_batches(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, normalized = [], step_module.normalized

    def spy(batch: Batch, *arguments: Any) -> Tensor:
        seen.append(batch.images)
        return normalized(batch, *arguments)

    monkeypatch.setattr(step_module, "normalized", spy)
    assert train_with(config, tmp_path / "run", "optimization.iterations=3", "seed=4") == 0
    transform = load_config(config, []).augmentation.build(ModelConfig().pixel_mean)
    dataset = PanopticDataset(PanopticAnnotations.load(data_set), data_set.parents[1] / "tiny", transform)
    expected = islice(load_batches(dataset, BatchSampler(dataset, 2, seed=4), 0, False), 3)
    assert all(torch.equal(images, batch.images) for images, batch in zip(seen, expected, strict=True))


# Memory.


def test_the_memory_moves_towards_the_mean_embeddings(config: Path, data_set: Path, tmp_path: Path) -> None:
    """A momentum of 0: after a step the memory is the batch's mean embeddings, unit vectors."""
    model = tiny_model()
    before = model.memory.vectors.clone()
    steps(model, config, data_set, tmp_path, 1, "memory.momentum=0", "memory.rising=false")
    assert not torch.allclose(model.memory.vectors, before)
    torch.testing.assert_close(model.memory.vectors.norm(dim=1), torch.ones(3))
    assert (F.cosine_similarity(model.memory.vectors, before) < 0.999).all()
