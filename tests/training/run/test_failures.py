# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A full disk and non-finite losses are reported, without loss of data."""

from __future__ import annotations

import errno
import io
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import training.engine.step as step_module
from ciae_ros.core.atomic_file import open_atomically
from tests.training.run.tiny_run import (
    CHECKPOINT_EVERY,
    ITERATIONS,
    assert_same_result,
    saved_state,
    tensors_in,
    train_with,
)
from training.data.dataset import Batch
from training.engine import loop, monitoring
from training.engine.state import TrainingState
from training.losses.criterion import Losses

# A full disk.


class _FileOnFullDisk(io.FileIO):
    """Limit the free space of the disk in bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "wb")
        self._room = room

    def write(self, data: Any) -> int:
        part = memoryview(data).cast("B")[: self._room]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._room -= len(part)
        return super().write(part)


def _disk_is_full_at(
    iterations: set[int], monkeypatch: pytest.MonkeyPatch, room: int = 0
) -> list[tuple[bytes | None, bytes | None]]:
    """Let writing `state.pt` fail after these iterations; collects the file's content before and after."""
    contents = []
    save, open_path = loop._save, Path.open

    def content_of(path: Path) -> bytes | None:
        return path.read_bytes() if path.exists() else None

    def save_on_full_disk(state: TrainingState, output: Path, *arguments: Any, **options: Any) -> None:
        if state.iteration not in iterations:
            return save(state, output, *arguments, **options)
        before = content_of(output / "state.pt")

        def open_on_full_disk(path: Path, *_: Any) -> io.BufferedWriter:
            return io.BufferedWriter(_FileOnFullDisk(path, room))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", open_on_full_disk)
            try:
                save(state, output, *arguments, **options)
            finally:
                patch.setattr(Path, "open", open_path)
                contents.append((before, content_of(output / "state.pt")))

    monkeypatch.setattr(loop, "_save", save_on_full_disk)
    return contents


@pytest.mark.parametrize("room", [0, 1_000_000])
def test_a_full_disk_during_the_run_is_reported_and_tolerated(
    config: Path,
    finished: Path,
    tmp_path: Path,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    contents = _disk_is_full_at({6, 9}, monkeypatch, room)
    assert train_with(config, tmp_path / "run") == 0
    assert len(contents) == 2
    assert all(before is not None and before == after for before, after in contents)
    assert contents[0] == contents[1]
    told = [line for line in capsys.readouterr().err.splitlines() if "state.pt was not written" in line]
    assert len(told) == 2
    assert all("No space left on device" in line for line in told)
    assert_same_result(tmp_path / "run", finished)
    assert not (tmp_path / "run" / "state.pt.unfinished").exists()


def test_a_full_disk_at_the_end_is_an_error_and_the_same_command_resumes(
    config: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        contents = _disk_is_full_at({ITERATIONS}, patch, room=1_000_000)
        assert train_with(config, tmp_path / "run") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("training: "))
    assert "state.pt could not be written" in line
    assert "No space left on device" in line
    assert contents[0][0] == contents[0][1]
    assert saved_state(tmp_path / "run")["iteration"] == ITERATIONS - CHECKPOINT_EVERY
    assert train_with(config, tmp_path / "run") == 0
    assert_same_result(tmp_path / "run", finished)


def test_a_file_that_cannot_be_synchronised_does_not_take_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state.pt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"), open_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_curves_that_cannot_be_written_do_not_end_the_run(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard's writer raises the error of its thread, and again when it is closed."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("add_scalar", "add_image", "close"):
        monkeypatch.setattr(monitoring.SummaryWriter, name, fail)
    assert train_with(config, tmp_path / "run") == 0
    assert_same_result(tmp_path / "run", finished)


# Losses that are not finite.


def _errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines without the progress bar."""
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and "it/s" not in line and "s/it" not in line]


def test_a_nan_stops_the_run_before_it_reaches_the_weights(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    batches, normalized = [], step_module.normalized

    def normalized_once_wrongly(batch: Batch, *arguments: Any) -> Tensor:
        batches.append(batch)
        return normalized(batch, *arguments) * (math.nan if len(batches) == 7 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "normalized", normalized_once_wrongly)
        assert train_with(config, output, "checkpoint_every=3") == 1
    (message,) = _errors(capsys)
    assert message.startswith("training: the loss of iteration 6 is not finite")
    kept = torch.load(output / "non_finite_6_rank0.pt", weights_only=True)
    assert str(output / "non_finite_6_rank0.pt") in message
    assert kept["iteration"] == 6 and kept["image_ids"] == batches[6].image_ids
    assert torch.equal(kept["images"], batches[6].images)
    assert torch.equal(kept["segments"], batches[6].target.segments)
    assert saved_state(output)["iteration"] == 6
    assert all(tensor.isfinite().all() for tensor in tensors_in(saved_state(output)).values())
    assert train_with(config, output) == 0
    assert_same_result(output, finished)


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_reaches_the_weights(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root of 0 is 0, its slope is infinite."""
    output = tmp_path / "run"
    calls, training_loss = iter(range(1, 100)), step_module.training_loss

    def with_a_steep_loss(outputs: Any, *arguments: Any) -> Losses:
        losses = training_loss(outputs, *arguments)
        nothing = (0 * outputs.embedding).sum()
        return losses._replace(total=losses.total + nothing.sqrt()) if next(calls) == 7 else losses

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "training_loss", with_a_steep_loss)
        assert train_with(config, output, "checkpoint_every=3") == 1
    (message,) = _errors(capsys)
    assert message.startswith("training: the gradient of iteration 6 is not finite; its batch is saved in ")
    assert train_with(config, output) == 0
    assert_same_result(output, finished)


def test_an_exploding_run_stops_and_leaves_finite_weights(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [
        "optimization.learning_rate=1e9",
        "optimization.optimizer=sgd",
        "optimization.backbone_rate=1",
        "checkpoint_every=1",
    ]
    assert train_with(config, tmp_path / "run", *overrides) == 1
    (message,) = _errors(capsys)
    iteration = saved_state(tmp_path / "run")["iteration"]
    assert re.match(f"training: the (loss|gradient) of iteration {iteration} is not finite", message)
    assert 0 < iteration < ITERATIONS
    weights = tensors_in(saved_state(tmp_path / "run")["model"])
    assert [name for name, tensor in weights.items() if not tensor.isfinite().all()] == []
