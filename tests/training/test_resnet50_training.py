# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Training steps of the paper's network on real COCO images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torchvision
import yaml

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training.config import load_config
from training.data.sample import read_sample
from training.engine.loop import train


@pytest.mark.slow
def test_resnet50_learns_on_real_coco_images(data: Path, tmp_path: Path) -> None:
    """ResNet-50 with the paper's optimiser and rate, on four images at a quarter of their size.

    ImageNet weights need a download. Random ones suffice if their frozen batch normalisations have the
    statistics; otherwise the activations double in every block.
    """
    annotations = data / "coco_panoptic_mini/annotations/panoptic_train2017.json"
    weights = tmp_path / "resnet50.pt"
    torch.save(_random_resnet50_with_statistics(annotations), weights)
    path = tmp_path / "r50.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "r50",
                "model": {"preset": "r50_512"},
                "pretrained": str(weights),
                "data": {
                    "train": str(annotations),
                    "max_images": 4,
                    "workers": 0,
                },
                "augmentation": {"shorter_side": [128, 128], "longer_side": 192, "flip": 0.0},
                "optimization": {
                    "iterations": 12,
                    "batch_size": 2,
                    "scale_with_batch": False,
                    "learning_rate": 0.01 * 2 / 16,
                    "warmup_iterations": 4,
                },
                "embedding_loss": {"pixel_stride": 2},
                "log_every": 1,
                "pictures_every": None,
            }
        )
    )
    train(load_config(path, []), tmp_path / "out")
    losses = _scalars(tmp_path / "out/tensorboard", "loss/total")
    assert len(losses) == 12
    assert sum(losses[-4:]) / 4 < 0.8 * sum(losses[:4]) / 4, json.dumps(losses)


def _random_resnet50_with_statistics(path: Path) -> dict[str, torch.Tensor]:
    annotations = PanopticAnnotations.load(path).first(4)
    images = [read_sample(annotations, path.parents[1] / "train2017", image).image for image in annotations.annotations]
    model = torchvision.models.resnet50(weights=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.stack([torchvision.transforms.functional.resize(i, [160, 224]) for i in images]) / 58 - 2)
    return model.state_dict()


def _scalars(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]
