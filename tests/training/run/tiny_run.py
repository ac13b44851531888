# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A training run of seconds, and helpers of its tests."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import CategorySet
from ciae_ros.model import CIAE, ModelConfig
from tests.training.synthetic import CAR, CATEGORIES, PERSON, ROAD, SKY, scene, write_split
from training.config import load_config
from training.data.augmentation import Augmentation
from training.data.dataset import Batch, Draw, PanopticDataset, collate
from training.engine import loop
from training.engine.ema import WeightAverage
from training.engine.optimization import build_optimizer, freeze, set_training_mode
from training.engine.schedule import scaled_schedule
from training.engine.state import TrainingState
from training.engine.step import training_step
from training.train import main

TINY = {
    "backbone": "timm/mobilenetv3_small_050",
    "fpn_channels": 32,
    "embedding_channels": 32,
    "head_convs": 1,
    "embedding_dim": 8,
    "input_size": 64,
    "max_input_size": 96,
}
ITERATIONS = 12
CHECKPOINT_EVERY = 3

FORKS = multiprocessing.get_context("forkserver")  # A fork of this process would share its OpenMP threads.
FORKS.set_forkserver_preload(["training.train"])


@contextmanager
def one_thread() -> Iterator[None]:
    """Make sums deterministic, so that weights can be compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_data_set(root: Path, count: int = 8, categories: CategorySet = CATEGORIES) -> Path:
    """Scenes whose pixels have their category's colour, and cars and persons of different brightness."""
    scenes = {number: scene(number % 8) for number in range(1, count + 1)}
    annotations = write_split(root, scenes, categories=categories)
    color_of = {SKY: (230, 160, 90), ROAD: (90, 90, 90), CAR: (40, 40, 200), PERSON: (60, 190, 60)}
    for number, (ids, infos) in scenes.items():
        image = np.zeros((*ids.shape, 3), np.uint8)
        for info in infos:
            image[ids == info["id"]] = np.array(color_of[info["category_id"]]) + info["id"] % 3 * 12
        cv2.imwrite(str(root / "tiny" / f"{number:04}.png"), image)
    return annotations.path


def tiny_configuration(data_set: Path) -> dict[str, Any]:
    return {
        "name": "tiny",
        "model": TINY,
        "pretrained": None,
        "data": {"train": str(data_set), "workers": 0},
        "augmentation": {"shorter_side": [52, 60], "longer_side": 80},
        "optimization": {
            "iterations": ITERATIONS,
            "batch_size": 2,
            "scale_with_batch": False,
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "backbone_rate": 0.5,
            "schedule": "polynomial",
            "warmup_iterations": 3,
            "gradient_clipping": 10.0,
            "ema": 0.9,
            "frozen_stages": 0,
            "frozen_batch_norm": False,
        },
        "embedding_loss": {"pixel_stride": 2},
        "memory": {"momentum": 0.99},
        "inference": {"min_stuff_area": 16},
        "checkpoint_every": CHECKPOINT_EVERY,
        "log_every": 1,
        "pictures_every": None,
    }


def train_with(config: Path, output: Path, *overrides: str) -> int:
    return main(["--config", str(config), "--output", str(output), *overrides])


def logged(output: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(output / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


def saved_state(output: Path) -> dict[str, Any]:
    return torch.load(output / "state.pt", map_location="cpu", weights_only=True)


def tensors_in(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return all tensors of a state by their paths."""
    if isinstance(value, Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {path: tensor for key, part in items for path, tensor in tensors_in(part, f"{name}.{key}").items()}


def assert_same_result(output: Path, finished: Path) -> None:
    """Compare weights, average, memory, momenta and the exported model bit by bit."""
    tensors, expected = tensors_in(saved_state(output)), tensors_in(saved_state(finished))
    assert tensors.keys() == expected.keys()
    assert len(tensors) > 500
    different = [name for name, tensor in tensors.items() if not torch.equal(tensor, expected[name])]
    assert not different
    assert saved_state(output)["iteration"] == saved_state(finished)["iteration"] == ITERATIONS
    exported, expected = (load_file(folder / "model.safetensors") for folder in (output, finished))
    assert exported.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in exported.items())


class RunningTraining:
    """A run in another process, with its output in `log`."""

    def __init__(self, config: Path, output: Path, *overrides: str) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self.output, self._log = output, output.parent / "log.txt"
        arguments = ["--config", str(config), "--output", str(output), *overrides]
        self.process: BaseProcess = FORKS.Process(target=command_line, args=(str(self._log), arguments))
        self.process.start()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_checkpoint(self) -> None:
        until = time.monotonic() + 60
        while not (self.output / "state.pt").exists():
            assert self.process.is_alive(), self.log
            assert time.monotonic() < until
            time.sleep(0.005)

    def exit_code(self) -> int | None:
        self.process.join(60)
        code = self.process.exitcode
        self.process.kill()
        return code


def command_line(log: str, arguments: list[str]) -> None:
    """`python -m training.train` in a process that has imported everything already."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # For the data loader, as it is in a process by itself.
    sys.argv = ["training.train", *arguments]
    sys.modules.pop("training.train", None)
    runpy.run_module("training.train", run_name="__main__")


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def copy_of_run(finished: Path, folder: Path) -> Path:
    output = folder / "copy"
    output.mkdir()
    for name in ("state.pt", "model.safetensors"):
        (output / name).write_bytes((finished / name).read_bytes())
    return output


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: ")
    return line


def steps(model: CIAE, config: Path, data_set: Path, tmp_path: Path, count: int, *overrides: str) -> TrainingState:
    """Some iterations of the training loop on one batch."""
    changes = ["optimization.schedule=steps", "optimization.warmup_iterations=1", *overrides]
    training = load_config(config, changes)
    freeze(model, training.optimization)
    set_training_mode(model, training.optimization)
    ema = training.optimization.ema
    state = TrainingState(
        model=model,
        optimizer=build_optimizer(model, training.optimization),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        average=None if ema is None else WeightAverage(model, ema),
        iteration=1,
    )
    schedule, batch = scaled_schedule(training.optimization), batch_of(data_set)
    for _ in range(count):
        training_step(training, model, state, batch, schedule)
        state.iteration += 1
    return state


def stop_after(iteration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate SIGTERM after a number of iterations."""
    calls = iter(range(1, 10_000))
    monkeypatch.setattr(loop._StopSignal, "requested", lambda self, device: next(calls) == iteration)


def tiny_model(**options: Any) -> CIAE:
    torch.manual_seed(0)
    return CIAE(ModelConfig(num_stuff_classes=2, num_thing_classes=2, **(TINY | options)))


def batch_of(data_set: Path) -> Batch:
    transform = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0).build((0, 0, 0))
    dataset = PanopticDataset(PanopticAnnotations.load(data_set), data_set.parents[1] / "tiny", transform)
    return collate([dataset[Draw(position, 0)] for position in (0, 1)])
