"""Whole runs of a small network: that it learns, and what becomes of it when it is stopped, killed or misconfigured."""

from __future__ import annotations

import errno
import io
import math
import multiprocessing
import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import training.train as train_module
from ciae_ros.inference import Category, CategorySet, load_checkpoint
from ciae_ros.inference.panoptic_annotations import PanopticAnnotations
from ciae_ros.model import CIAE, ModelConfig
from tests.training import synthetic
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, scene, write_split
from training import monitoring
from training.atomic_file import written_atomically
from training.config import ConfigError, OptimizationConfig, load_config
from training.data.augmentation import Augmentation
from training.data.dataset import Batch, BatchSampler, Draw, PanopticDataset, collate, load_batches
from training.initial_weights import load_initial_weights
from training.optimization import build_optimizer, freeze, set_rate, set_training_mode
from training.schedule import Schedule, scaled_schedule
from training.train import main
from training.training_state import TrainingState
from training.weight_average import WeightAverage

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


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Weights can be compared bit by bit only if sums are always made in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _write_data_set(root: Path, count: int = 8) -> Path:
    """Scenes whose pixels have their category's colour, and cars and persons of different brightness."""
    scenes = {number: scene(number % 8) for number in range(1, count + 1)}
    annotations = write_split(root, scenes)
    color_of = {SKY: (230, 160, 90), ROAD: (90, 90, 90), CAR: (40, 40, 200), PERSON: (60, 190, 60)}
    for number, (ids, infos) in scenes.items():
        image = np.zeros((*ids.shape, 3), np.uint8)
        for info in infos:
            image[ids == info["id"]] = np.array(color_of[info["category_id"]]) + info["id"] % 3 * 12
        cv2.imwrite(str(root / "tiny" / f"{number:04}.png"), image)
    return annotations.path


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the JSON file."""
    return _write_data_set(tmp_path_factory.mktemp("data"))


def _values(data_set: Path) -> dict[str, Any]:
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


@pytest.fixture(scope="module")
def config(data_set: Path) -> Path:
    path = data_set.parents[1] / "tiny.yaml"
    path.write_text(yaml.safe_dump(_values(data_set)))
    return path


def _main(config: Path, output: Path, *overrides: str) -> int:
    return main(["--config", str(config), "--output", str(output), *overrides])


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that nothing has interrupted."""
    output = tmp_path_factory.mktemp("run") / "finished"
    assert _main(config, output) == 0
    return output


def _scalars(output: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(output / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


def _state(output: Path) -> dict[str, Any]:
    return torch.load(output / "state.pt", map_location="cpu", weights_only=True)


def _tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    """All of a state's tensors by their paths."""
    if isinstance(value, Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {path: tensor for key, part in items for path, tensor in _tensors(part, f"{name}.{key}").items()}


def _assert_same_result(output: Path, finished: Path) -> None:
    """Bit by bit: weights, average, memory, momenta, and the exported model."""
    tensors, expected = _tensors(_state(output)), _tensors(_state(finished))
    assert tensors.keys() == expected.keys()
    assert len(tensors) > 500
    different = [name for name, tensor in tensors.items() if not torch.equal(tensor, expected[name])]
    assert not different
    assert _state(output)["iteration"] == _state(finished)["iteration"] == ITERATIONS
    exported, expected = (load_file(folder / "model.safetensors") for folder in (output, finished))
    assert exported.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in exported.items())


# Learning.


def test_losses_fall(finished: Path) -> None:
    for name, bound in {"total": 0.7, "class": 0.6, "cae": 0.6, "iae": 0.6, "centerness": 1.0, "box": 1.1}.items():
        losses = _scalars(finished, f"loss/{name}")
        assert len(losses) == ITERATIONS
        assert np.mean(losses[-4:]) < bound * np.mean(losses[:3]), (name, losses)


def test_total_is_eq_15(finished: Path) -> None:
    """With Eq. 12's alpha of 2."""
    parts = {n: np.array(_scalars(finished, f"loss/{n}")) for n in ("class", "box", "centerness", "cae", "iae")}
    total = parts["class"] + parts["box"] + parts["centerness"] + parts["cae"] + 2 * parts["iae"]
    np.testing.assert_allclose(_scalars(finished, "loss/total"), total, rtol=1e-5)


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
    assert _main(config, tmp_path / "real", *overrides) == 0
    losses = _scalars(tmp_path / "real", "loss/total")
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
    output = _copy(finished, tmp_path)
    (output / "model.safetensors").unlink()
    assert _main(config, output) == 0
    _assert_same_result(output, finished)


def _copy(finished: Path, folder: Path) -> Path:
    output = folder / "copy"
    output.mkdir()
    for name in ("state.pt", "model.safetensors"):
        (output / name).write_bytes((finished / name).read_bytes())
    return output


# Interruptions.

_processes = multiprocessing.get_context("forkserver")  # A fork of this process would share its OpenMP threads.
_processes.set_forkserver_preload(["training.train"])


def _command(log: str, arguments: list[str]) -> None:
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


class _Run:
    """A run in another process; what it says is in `log`."""

    def __init__(self, config: Path, output: Path, *overrides: str) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self.output, self._log = output, output.parent / "log.txt"
        arguments = ["--config", str(config), "--output", str(output), *overrides]
        self.process: BaseProcess = _processes.Process(target=_command, args=(str(self._log), arguments))
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


def test_sigterm_saves_and_the_same_command_goes_on(config: Path, finished: Path, tmp_path: Path) -> None:
    run = _Run(config, tmp_path / "run")
    run.wait_for_checkpoint()
    run.process.terminate()
    assert run.exit_code() == 0, run.log
    iteration = _state(run.output)["iteration"]
    assert CHECKPOINT_EVERY <= iteration < ITERATIONS
    assert f"stopped after iteration {iteration}" in run.log
    assert not (run.output / "model.safetensors").exists()
    run = _Run(config, tmp_path / "run")
    assert run.exit_code() == 0, run.log
    assert f"going on at iteration {iteration}" in run.log
    _assert_same_result(run.output, finished)
    assert len(_scalars(run.output, "loss/total")) == ITERATIONS


@pytest.mark.parametrize("to", ["group", "each"])
def test_sigterm_to_all_of_its_processes_saves_too(config: Path, tmp_path: Path, to: str) -> None:
    """As `timeout` sends it to a group, and systemd and Slurm to each process: the data loader's workers get it too."""
    run = _Run(config, tmp_path / "run", "data.workers=1", "optimization.iterations=100000", "checkpoint_every=1")
    run.wait_for_checkpoint()
    main_process = run.process.pid
    assert main_process is not None
    workers = [int(pid) for pid in Path(f"/proc/{main_process}/task/{main_process}/children").read_text().split()]
    assert workers
    if to == "group":
        os.killpg(main_process, signal.SIGTERM)
    else:
        for process in (main_process, *workers):
            os.kill(process, signal.SIGTERM)
    assert run.exit_code() == 0, run.log
    assert f"stopped after iteration {_state(run.output)['iteration']}" in run.log
    assert "Traceback" not in run.log


def test_sigkill_at_a_random_moment_costs_no_more_than_to_the_last_checkpoint(
    config: Path, finished: Path, tmp_path: Path
) -> None:
    """Killed twice; the run goes on with another number of workers, which changes nothing."""
    for kill in range(2):
        run = _Run(config, tmp_path / "run", f"data.workers={kill % 2}", "checkpoint_every=2")
        run.wait_for_checkpoint()
        time.sleep(random.SystemRandom().uniform(0.0, 0.6))
        run.process.kill()
        assert run.exit_code() in (-signal.SIGKILL, 0), run.log
        assert _state(run.output)["iteration"] % 2 == 0
    assert _main(config, run.output) == 0
    _assert_same_result(run.output, finished)


def _be_killed_while_writing(path: Path) -> None:
    with written_atomically(path) as file:
        file.write(b"x" * 1_000_000)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_whose_writer_is_killed_is_still_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for content in (b"old", b"new"):
        with written_atomically(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    child = _processes.Process(target=_be_killed_while_writing, args=(path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert path.read_bytes() == b"new"


def test_what_a_killed_writer_has_left_is_no_hindrance(config: Path, finished: Path, tmp_path: Path) -> None:
    output = _copy(finished, tmp_path)
    (output / "state.pt.unfinished").write_bytes((finished / "state.pt").read_bytes()[:1000])
    assert _main(config, output) == 0
    _assert_same_result(output, finished)


def _stop_after(iteration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if SIGTERM came while that many iterations were done."""
    calls = iter(range(1, 10_000))
    monkeypatch.setattr(train_module._StopSignal, "requested", lambda self, device: next(calls) == iteration)


def test_sigterm_in_the_last_iteration_loses_nothing(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stop_after(ITERATIONS, patch)
        assert _main(config, tmp_path / "run") == 0
    assert _main(config, tmp_path / "run") == 0
    _assert_same_result(tmp_path / "run", finished)


# A full disk.


class _FileOnFullDisk(io.FileIO):
    """The disk has room for so many bytes more."""

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
    """Writing `state.pt` after these iterations meets a full disk; collects the file's content before and after."""
    contents = []
    save, open_path = train_module._save, Path.open

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

    monkeypatch.setattr(train_module, "_save", save_on_full_disk)
    return contents


@pytest.mark.parametrize("room", [0, 1_000_000])
def test_a_full_disk_in_mid_run_is_told_and_survived(
    config: Path,
    finished: Path,
    tmp_path: Path,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    contents = _disk_is_full_at({6, 9}, monkeypatch, room)
    assert _main(config, tmp_path / "run") == 0
    assert len(contents) == 2
    assert all(before is not None and before == after for before, after in contents)
    assert contents[0] == contents[1]
    told = [line for line in capsys.readouterr().err.splitlines() if "state.pt was not written" in line]
    assert len(told) == 2
    assert all("No space left on device" in line for line in told)
    _assert_same_result(tmp_path / "run", finished)
    assert not (tmp_path / "run" / "state.pt.unfinished").exists()


def test_a_full_disk_at_the_end_is_an_error_after_which_the_same_command_goes_on(
    config: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        contents = _disk_is_full_at({ITERATIONS}, patch, room=1_000_000)
        assert _main(config, tmp_path / "run") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("training: "))
    assert "state.pt could not be written" in line
    assert "No space left on device" in line
    assert contents[0][0] == contents[0][1]
    assert _state(tmp_path / "run")["iteration"] == ITERATIONS - CHECKPOINT_EVERY
    assert _main(config, tmp_path / "run") == 0
    _assert_same_result(tmp_path / "run", finished)


def test_a_file_that_cannot_be_synchronised_does_not_take_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state.pt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"), written_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_curves_that_cannot_be_written_do_not_end_the_run(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard's writer raises what its thread has met, and again when it is closed."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("add_scalar", "add_image", "close"):
        monkeypatch.setattr(monitoring.SummaryWriter, name, fail)
    assert _main(config, tmp_path / "run") == 0
    _assert_same_result(tmp_path / "run", finished)


# Losses that are not finite.


def _errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines that are not of the progress bar."""
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and "it/s" not in line and "s/it" not in line]


def test_a_nan_stops_the_run_before_it_reaches_the_weights(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    batches, normalized = [], train_module.normalized

    def normalized_once_wrongly(batch: Batch, *arguments: Any) -> Tensor:
        batches.append(batch)
        return normalized(batch, *arguments) * (math.nan if len(batches) == 7 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "normalized", normalized_once_wrongly)
        assert _main(config, output, "checkpoint_every=3") == 1
    (message,) = _errors(capsys)
    assert message.startswith("training: the loss of iteration 6 is not finite")
    kept = torch.load(output / "non_finite_6_rank0.pt", weights_only=True)
    assert str(output / "non_finite_6_rank0.pt") in message
    assert kept["iteration"] == 6 and kept["image_ids"] == batches[6].image_ids
    assert torch.equal(kept["images"], batches[6].images)
    assert torch.equal(kept["segments"], batches[6].target.segments)
    assert _state(output)["iteration"] == 6
    assert all(tensor.isfinite().all() for tensor in _tensors(_state(output)).values())
    assert _main(config, output) == 0
    _assert_same_result(output, finished)


def test_an_exploding_run_stops_and_leaves_finite_weights(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [
        "optimization.learning_rate=1e9",
        "optimization.optimizer=sgd",
        "optimization.backbone_rate=1",
        "checkpoint_every=1",
    ]
    assert _main(config, tmp_path / "run", *overrides) == 1
    (message,) = _errors(capsys)
    iteration = _state(tmp_path / "run")["iteration"]
    assert message.startswith(f"training: the loss of iteration {iteration} is not finite")
    assert 0 < iteration < ITERATIONS
    weights = _tensors(_state(tmp_path / "run")["model"])
    assert [name for name, tensor in weights.items() if not tensor.isfinite().all()] == []


# Configurations.


def _refusal(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: ")
    return line


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimisation.batch_size=8", "optimisation"),
        ("optimization.batch_sise=8", "optimization.batch_sise"),
        ("data.trian=x", "data.trian"),
        ("augmentation.flp=0", "augmentation.flp"),
        ("embedding_loss.margn=0.1", "embedding_loss.margn"),
        ("memory.momentun=0.9", "memory.momentun"),
        ("inference.score=0.9", "inference.score"),
        ("model.embedding_dims=8", "embedding_dims"),
        ("optimization.batch_size=many", "optimization.batch_size"),
        ("optimization.batch_size=0", "optimization.batch_size"),
        ("optimization.iterations=1.5", "optimization.iterations"),
        ("optimization.momentum=1", "optimization.momentum"),
        ("optimization.optimizer=adam", "optimization.optimizer"),
        ("optimization.ema=1", "optimization.ema"),
        ("optimization=5", "optimization"),
        ("augmentation.shorter_side=800", "augmentation.shorter_side"),
        ("augmentation.flip=2", "flip"),
        ("memory.momentum=2", "momentum"),
        ("embedding_loss.top_k=0", "top_k"),
        ("model.preset=r51_800", "preset 'r51_800'"),
        ("model.preset=[1]", "preset"),
        ("model.backbone=resnet51", "resnet51"),
        ("model.backbone=timm/no_such_net", "no_such_net"),
        ("model.backbone=50", "backbone"),
        ("model.embedding_dim=wide", "embedding_dim"),
        ("model.embedding_dim=8.5", "embedding_dim"),
        ("model.coord_conv=nope", "coord_conv"),
        ("model=5", "model"),
        ("device=gpu", "device"),
        ("device=cuda", "device"),
        ("data.train=/nowhere/panoptic.json", "/nowhere/panoptic.json"),
        ("data.val=/nowhere/panoptic.json", "/nowhere/panoptic.json"),
        ("pretrained=/nowhere/weights.pt", "/nowhere/weights.pt"),
        ("initial_checkpoint=/nowhere/model.safetensors", "/nowhere/model.safetensors"),
        ("optimization.batch_size", "optimization.batch_size"),
        ("optimization.batch_size=[", "optimization.batch_size"),
        ("=3", "=3"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(
    config: Path, tmp_path: Path, override: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert _main(config, tmp_path / "run", "optimization.iterations=1", override) == 1
    assert words in _refusal(capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: missing.yaml", "missing.yaml"),
        ("base: 5", "base"),
        ("base: wrong.yaml", "wrong.yaml"),
        ("name: [", "wrong.yaml"),
        ("- name", "wrong.yaml"),
        ("", "wrong.yaml"),
        ("name: x", "data: Field required"),
        ("data: {train: x}", "name: Field required"),
        ("name: x\ndata: {train: x}\nseeds: 1", "seeds"),
        (b"name: \xff", "wrong.yaml"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what_is_wrong(
    tmp_path: Path, text: str | bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert _main(path, tmp_path / "run") == 1
    assert words in _refusal(capsys)


def test_each_error_of_several_has_its_line(config: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(config, ["seed=x", "optimization.batch_size=0", "log_every=0"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(any(key in line for line in lines) for key in ("seed", "optimization.batch_size", "log_every"))


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(tmp_path / "none.yaml", tmp_path / "run") == 1
    assert "none.yaml" in _refusal(capsys)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"images": [], "annotations": [], "categories": []}'])
def test_annotations_that_are_none_are_named(
    config: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "panoptic_broken.json"
    path.write_bytes(content)
    assert _main(config, tmp_path / "run", f"data.train={path}") == 1
    assert str(path) in _refusal(capsys)


def test_a_base_is_changed_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    base = {"name": "base", "data": {"train": "x", "workers": 2}, "optimization": {"batch_size": 8, "iterations": 5}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    middle = {"base": "../base.yaml", "name": "middle", "optimization": {"iterations": 6}}
    (tmp_path / "folder" / "middle.yaml").write_text(yaml.safe_dump(middle))
    (tmp_path / "folder" / "top.yaml").write_text("base: middle.yaml\ndata: {workers: 0}")
    config = load_config(tmp_path / "folder" / "top.yaml", ["optimization.momentum=0.5", "optimization.iterations=7"])
    assert (config.name, config.data.train, config.data.workers) == ("middle", Path("x"), 0)
    optimization = config.optimization
    assert (optimization.batch_size, optimization.iterations, optimization.momentum) == (8, 7, 0.5)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("config/training/**/*.yaml")), ids=lambda p: p.stem
)
def test_the_projects_configurations_can_be_read(path: Path) -> None:
    load_config(path, [])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optimization.learning_rate=0.001", "optimization.learning_rate"),
        ("model.embedding_dim=16", "model.embedding_dim"),
        ("seed=1", "seed"),
        ("data.max_images=3", "data.max_images"),
        ("optimization.ema=null", "optimization.ema"),
    ],
)
def test_the_state_of_another_configuration_is_refused(
    config: Path, finished: Path, tmp_path: Path, override: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = _copy(finished, tmp_path)
    before = (output / "state.pt").read_bytes()
    assert _main(config, output, override) == 1
    line = _refusal(capsys)
    assert key in line and str(output / "state.pt") in line
    assert (output / "state.pt").read_bytes() == before
    assert not (output / "config.yaml").exists()


def test_what_does_not_change_the_result_may_change(config: Path, finished: Path, tmp_path: Path) -> None:
    changes = ["device=cpu", "data.workers=1", "log_every=5", "pictures_every=5", "checkpoint_every=7"]
    assert _main(config, _copy(finished, tmp_path), *changes) == 0


@pytest.mark.parametrize("content", ["noise", "half", "another", "list"])
def test_a_damaged_state_is_refused(
    config: Path, finished: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = _copy(finished, tmp_path)
    path = output / "state.pt"
    if content == "noise":
        path.write_bytes(os.urandom(1000))
    elif content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        torch.save({"a": 1} if content == "another" else [1], path)
    assert _main(config, output) == 1
    lines = capsys.readouterr().err
    assert str(path) in lines and "Traceback" not in lines
    assert len(lines.splitlines()) == 1


# Schedule and optimiser.


def test_the_papers_learning_rates() -> None:
    """Sec. V-C; the warm-up is detectron's."""
    schedule = scaled_schedule(OptimizationConfig())
    assert schedule.iterations == 90_000
    expected = {0: 1e-5, 250: 0.005005, 500: 0.01, 59_999: 0.01, 60_000: 1e-3, 79_999: 1e-3, 80_000: 1e-4, 89_999: 1e-4}
    for iteration, rate in expected.items():
        assert schedule.rate(iteration) == pytest.approx(rate, rel=1e-9), iteration


@pytest.mark.parametrize("batch_size", [2, 4, 16, 32])
def test_linear_scaling(batch_size: int) -> None:
    schedule = scaled_schedule(OptimizationConfig(batch_size=batch_size))
    assert schedule.learning_rate == pytest.approx(0.01 * batch_size / 16)
    assert schedule.iterations == 90_000 * 16 // batch_size
    assert schedule.milestones == (60_000 * 16 // batch_size, 80_000 * 16 // batch_size)
    assert schedule.warmup_iterations == 500 * 16 // batch_size
    unscaled = scaled_schedule(OptimizationConfig(batch_size=batch_size, scale_with_batch=False))
    assert unscaled == scaled_schedule(OptimizationConfig())


def test_polynomial_rates() -> None:
    schedule = Schedule(100, 0.1, (), 0, polynomial=True)
    for iteration in range(1, 100):
        assert schedule.rate(iteration) == pytest.approx(0.1 * (1 - iteration / 100) ** 0.9)


@pytest.mark.parametrize("polynomial", [False, True])
def test_no_warm_up_is_none(polynomial: bool) -> None:
    assert Schedule(100, 0.1, (50,), 0, polynomial).rate(0) == pytest.approx(0.1)


def test_linear_scaling_is_told_and_done(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {
        "iterations": 1,
        "milestones": [1],
        "warmup_iterations": 1,
        "scale_with_batch": True,
        "learning_rate": 0.04,
        "schedule": "steps",
        "batch_size": 4,
    }
    overrides = [f"optimization.{key}={value}" for key, value in changes.items()]
    assert _main(config, tmp_path / "run", *overrides) == 0
    told = "batch 4 instead of 16: learning rate 0.01, 4 iterations, milestones (4,), warm-up 4 (linear scaling)"
    assert told in capsys.readouterr().out
    rates = [0.01 * (0.001 + 0.999 * t / 4) for t in range(4)]
    np.testing.assert_allclose(_scalars(tmp_path / "run", "run/learning_rate"), rates, rtol=1e-5)
    assert _state(tmp_path / "run")["iteration"] == 4


def test_rates_and_momenta_of_a_run(finished: Path) -> None:
    schedule = Schedule(ITERATIONS, 0.002, (), 3, polynomial=True)
    rates = [schedule.rate(iteration) for iteration in range(ITERATIONS)]
    np.testing.assert_allclose(_scalars(finished, "run/learning_rate"), rates, rtol=1e-5)
    momenta = [1 - 0.01 * (1 - t / ITERATIONS) ** 3 for t in range(ITERATIONS)]
    np.testing.assert_allclose(_scalars(finished, "run/memory_momentum"), momenta, rtol=1e-6)
    groups = _state(finished)["optimizer"]["param_groups"]
    assert {round(group["lr"] / rates[-1], 6) for group in groups} == {0.5, 1.0}


def _tiny_model(**options: Any) -> CIAE:
    torch.manual_seed(0)
    return CIAE(ModelConfig(num_stuff_classes=2, num_thing_classes=2, **(TINY | options)))


def test_groups_of_the_optimiser() -> None:
    """Everything that is trained is in one group, the backbone's apart; biases and normalisations are not decayed."""
    model = _tiny_model()
    config = OptimizationConfig(backbone_rate=0.25, frozen_stages=1)
    freeze(model, config)
    optimizer = build_optimizer(model, config)
    set_rate(optimizer, 0.08)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in parameters}) == len(parameters)
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters() if p.requires_grad}
    backbone = {id(p) for p in model.backbone.parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert group["lr"] == pytest.approx(0.02 if id(p) in backbone else 0.08)
            assert group["weight_decay"] == (1e-4 if p.dim() > 1 else 0)
            assert group["momentum"] == 0.9


def _batch(data_set: Path) -> Batch:
    transform = Augmentation(shorter_side=(60, 60), longer_side=80, flip=0.0).build((0, 0, 0))
    dataset = PanopticDataset(PanopticAnnotations.load(data_set), data_set.parents[1] / "tiny", transform)
    return collate([dataset[Draw(position, 0)] for position in (0, 1)])


def _steps(model: CIAE, config: Path, data_set: Path, tmp_path: Path, count: int, *overrides: str) -> TrainingState:
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
    schedule, batch = scaled_schedule(training.optimization), _batch(data_set)
    for _ in range(count):
        train_module._step(training, model, state, batch, schedule, tmp_path)
        state.iteration += 1
    return state


@pytest.mark.parametrize("bound", [0.5, 1e-3, 1e6])
def test_gradient_clipping(config: Path, data_set: Path, tmp_path: Path, bound: float) -> None:
    """With plain gradient descent, the weights move by rate x bound at most."""
    model = _tiny_model()
    before = [p.detach().clone() for p in model.parameters()]
    _steps(
        model,
        config,
        data_set,
        tmp_path,
        1,
        "optimization.optimizer=sgd",
        "optimization.momentum=0",
        "optimization.weight_decay=0",
        "optimization.learning_rate=1",
        "optimization.backbone_rate=1",
        f"optimization.gradient_clipping={bound}",
    )
    moved = math.sqrt(
        sum(float((p.detach() - b).square().sum()) for p, b in zip(model.parameters(), before, strict=True))
    )
    if bound < 1:
        assert moved == pytest.approx(bound, rel=1e-3)
    else:
        assert 1 < moved < bound


def _changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


RESNET_STAGES = ("backbone.conv1", "backbone.layer1", "backbone.layer2", "backbone.layer3", "backbone.layer4")


def _of_normalization(name: str) -> bool:
    return ".bn" in name or "downsample.1" in name


@pytest.mark.parametrize("frozen_stages", range(6))
def test_stages_of_a_resnet_can_be_frozen(frozen_stages: int) -> None:
    with torch.device("meta"):
        model = _tiny_model(backbone="resnet50")
    freeze(model, OptimizationConfig(frozen_stages=frozen_stages))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != name.startswith(RESNET_STAGES[:frozen_stages]), name
    assert not any(_of_normalization(name) for name, _ in model.backbone.named_parameters())


def test_frozen_stages_of_a_resnet_do_not_change(config: Path, data_set: Path, tmp_path: Path) -> None:
    model = _tiny_model(backbone="resnet50")
    for module in model.modules():  # Random weights: without this the activations double in every block.
        if hasattr(module, "conv3"):
            module.bn3.weight.fill_(0.2)
    before = _copied(model)
    changes = ["optimization.frozen_stages=2", "optimization.weight_decay=0.1", "optimization.ema=null"]
    _steps(model, config, data_set, tmp_path, 1, *changes)
    changed = _changed(model, before)
    in_backbone = {name for name in before if name.startswith("backbone.")}
    frozen = {name for name in in_backbone if name.startswith(RESNET_STAGES[:2]) or _of_normalization(name)}
    assert changed & in_backbone == in_backbone - frozen
    assert {"pyramid.fpn.inner_blocks.0.0.weight", "proposal_head.class_logits.bias", "memory.vectors"} <= changed


@pytest.mark.parametrize("frozen_batch_norm", ["true", "false"])
def test_the_frozen_stem_of_a_timm_model_does_not_change(
    config: Path, data_set: Path, tmp_path: Path, frozen_batch_norm: str
) -> None:
    model = _tiny_model()
    before = _copied(model)
    changes = ["optimization.frozen_stages=1", f"optimization.frozen_batch_norm={frozen_batch_norm}"]
    _steps(model, config, data_set, tmp_path, 2, *changes)
    changed = _changed(model, before)
    assert {name for name in changed if name.startswith(("backbone.body.conv_stem", "backbone.body.bn1"))} == set()
    assert "backbone.body.blocks.0.0.conv_dw.weight" in changed


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_normalisations_do_not_change(config: Path, data_set: Path, tmp_path: Path, frozen: bool) -> None:
    model = _tiny_model()
    norms = {
        f"backbone.{name}.{field}"
        for name, module in model.backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for field in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert len(norms) > 100
    before = _copied(model)
    _steps(model, config, data_set, tmp_path, 2, f"optimization.frozen_batch_norm={str(frozen).lower()}")
    changed = _changed(model, before)
    assert changed & norms == (set() if frozen else norms)
    assert "backbone.body.conv_stem.weight" in changed


def test_batch_normalisations_stay_frozen_through_a_run_with_pictures(config: Path, tmp_path: Path) -> None:
    """Pictures put the network into evaluation mode for a moment."""
    overrides = ["optimization.frozen_batch_norm=true", "optimization.iterations=3", "pictures_every=1"]
    assert _main(config, tmp_path / "run", *overrides) == 0
    torch.manual_seed(0)
    initial, model = _tiny_model().state_dict(), _state(tmp_path / "run")["model"]
    statistics = [name for name in model if "running_" in name or "num_batches" in name]
    assert len(statistics) > 100
    assert all(torch.equal(model[name], initial[name]) for name in statistics)


# Moving average.


def test_the_average_is_an_exponential_one() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.memory = nn.Module()
            self.memory.register_buffer("vectors", torch.zeros(2))
            self.register_buffer("count", torch.tensor(0))

    model = Model()
    average = WeightAverage(model, 0.9)  # type: ignore[arg-type]
    expected = torch.zeros(3)
    for iteration in range(200):
        with torch.no_grad():
            model.weight.copy_(torch.randn(3))
        model.memory.vectors = torch.randn(2)
        model.count = torch.tensor(iteration)
        average.update(model, iteration)  # type: ignore[arg-type]
        decay = min(0.9, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        torch.testing.assert_close(average.model.weight, expected)
        assert torch.equal(average.model.memory.vectors, model.memory.vectors)
        assert int(average.model.count) == iteration
    assert not average.model.weight.requires_grad and not average.model.training


def test_the_average_is_what_a_run_exports(finished: Path) -> None:
    state = _state(finished)
    exported = load_checkpoint(finished / "model.safetensors").model.state_dict()
    assert exported.keys() == state["average"].keys() == state["model"].keys()
    for name, value in exported.items():
        torch.testing.assert_close(value, state["average"][name], rtol=0, atol=0, msg=name)
    assert torch.equal(state["average"]["memory.vectors"], state["model"]["memory.vectors"])
    name = "pyramid.fpn.inner_blocks.0.0.weight"
    assert not torch.equal(state["average"][name], state["model"][name])


def test_without_average_a_run_exports_the_weights(config: Path, tmp_path: Path) -> None:
    assert _main(config, tmp_path / "run", "optimization.ema=null", "optimization.iterations=2") == 0
    state = _state(tmp_path / "run")
    assert "average" not in state
    exported = load_checkpoint(tmp_path / "run" / "model.safetensors").model.state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in state["model"].items())


# Precision.


@pytest.mark.parametrize(("autocast", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_used_and_trains(
    config: Path, finished: Path, tmp_path: Path, autocast: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    training_loss = train_module.training_loss

    def spy(outputs: Any, *arguments: Any) -> Any:
        losses = training_loss(outputs, *arguments)
        seen.add((outputs.embedding.dtype, outputs.class_logits[0].dtype, losses.total.dtype))
        return losses

    monkeypatch.setattr(train_module, "training_loss", spy)
    overrides = [f"optimization.autocast={autocast}", "optimization.iterations=8"]
    assert _main(config, tmp_path / "run", *overrides) == 0
    assert seen == {(dtype, dtype, torch.float32)}
    assert all(
        p.dtype == torch.float32 for p in _tensors(_state(tmp_path / "run")["model"]).values() if p.is_floating_point()
    )
    losses, exact = _scalars(tmp_path / "run", "loss/total"), _scalars(finished, "loss/total")
    # The scaler skips the first steps in fp16, whose gradients it had scaled too high.
    np.testing.assert_allclose(losses[:2], exact[:2], rtol=0.05)
    assert losses[-1] < 0.9 * losses[0]


# Data.


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_that_names_it(config: Path, tmp_path: Path, workers: int) -> None:
    path = _write_data_set(tmp_path, 4)
    (tmp_path / "tiny" / "0002.png").unlink()
    run = _Run(config, tmp_path / "run", f"data.train={path}", f"data.workers={workers}")
    assert run.exit_code() == 1
    (line,) = (line for line in run.log.splitlines() if "training" in line and "output in" not in line)
    assert line.startswith("training: ") and "0002.png is missing" in line
    assert "Traceback" not in run.log


@pytest.mark.filterwarnings("ignore:skipped")
def test_unreadable_images_are_skipped_and_counted(config: Path, tmp_path: Path) -> None:
    path = _write_data_set(tmp_path, 4)
    (tmp_path / "tiny" / "0002.png").unlink()
    overrides = [f"data.train={path}", "data.skip_unreadable=true", "optimization.iterations=4"]
    assert _main(config, tmp_path / "run", *overrides) == 0
    assert _state(tmp_path / "run")["skipped_images"] == 2  # Once in each of two epochs.
    assert _scalars(tmp_path / "run", "run/skipped_images")[-1] == 2


def test_the_run_takes_the_samplers_batches(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, normalized = [], train_module.normalized

    def spy(batch: Batch, *arguments: Any) -> Tensor:
        seen.append(batch.images)
        return normalized(batch, *arguments)

    monkeypatch.setattr(train_module, "normalized", spy)
    assert _main(config, tmp_path / "run", "optimization.iterations=3", "seed=4") == 0
    transform = load_config(config, []).augmentation.build(ModelConfig().pixel_mean)
    dataset = PanopticDataset(PanopticAnnotations.load(data_set), data_set.parents[1] / "tiny", transform)
    expected = islice(load_batches(dataset, BatchSampler(dataset, 2, seed=4), 0, False), 3)
    assert all(torch.equal(images, batch.images) for images, batch in zip(seen, expected, strict=True))


# Validation.


def test_validation_and_pictures_do_not_disturb_the_training(
    config: Path, data_set: Path, finished: Path, tmp_path: Path
) -> None:
    overrides = [f"data.val={data_set}", "evaluate_every=6", "pictures_every=6"]
    assert _main(config, tmp_path / "run", *overrides) == 0
    state, expected = _state(tmp_path / "run"), _state(finished)
    assert all(torch.equal(state["model"][name], value) for name, value in expected["model"].items())
    pq = _scalars(tmp_path / "run", "validation/PQ")
    assert len(pq) == 2 and all(0 <= value <= 100 for value in pq)
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").categories == synthetic.CATEGORIES


def _pretend_scores(pq_of_iteration: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Validation without evaluating; returns the scores that were asked for."""
    from training import validation  # noqa: PLC0415

    asked: list[float] = []
    scores = iter(pq_of_iteration.values())

    def evaluate(*_: Any) -> SimpleNamespace:
        asked.append(next(scores))
        part = SimpleNamespace(pq=asked[-1])
        return SimpleNamespace(all=part, things=part, stuff=part, mean_iou=0.0, box_ap=SimpleNamespace(ap=0.0))

    monkeypatch.setattr(validation, "evaluate", evaluate)
    return asked


def test_the_best_model_survives_a_crash(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validated after 4 iterations (the best), killed after 6, resumed from the checkpoint at 4, worse at 8."""
    output = tmp_path / "run"
    overrides = [f"data.val={data_set}", "evaluate_every=4", "checkpoint_every=4", "optimization.iterations=8"]
    calls = iter(range(100))
    step = train_module._step

    def die_in_iteration_6(*arguments: Any) -> Any:
        if next(calls) == 6:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        _pretend_scores({4: 0.7}, patch)
        patch.setattr(train_module, "_step", die_in_iteration_6)
        with pytest.raises(KeyboardInterrupt):
            _main(config, output, *overrides)
    best = (output / "best.safetensors").read_bytes()
    assert _state(output)["iteration"] == 4
    _pretend_scores({8: 0.5}, monkeypatch)
    assert _main(config, output, *overrides) == 0
    assert (output / "best.safetensors").read_bytes() == best


def test_the_last_validation_is_made_up_for(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the last iteration's checkpoint and before its validation."""
    overrides = [f"data.val={data_set}", "optimization.iterations=4"]
    asked = _pretend_scores({4: 0.7}, monkeypatch)
    with monkeypatch.context() as patch:
        _stop_after(4, patch)
        assert _main(config, tmp_path / "run", *overrides) == 0
    assert _main(config, tmp_path / "run", *overrides) == 0
    assert asked == [0.7]
    assert (tmp_path / "run" / "best.safetensors").exists()


# Fine-tuning.


def _other_data_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a stuff class and two thing classes more."""
    more = (
        Category(20, "tree", False, (0, 99, 0)),
        Category(21, "dog", True, (9, 99, 9)),
        Category(22, "cat", True, (9, 0, 99)),
    )
    monkeypatch.setattr(synthetic, "CATEGORIES", CategorySet((*synthetic.CATEGORIES.categories, *more)))
    return _write_data_set(root, 4)


def test_fine_tuning_takes_all_but_what_depends_on_the_categories(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = finished / "model.safetensors"
    torch.manual_seed(5)
    model = CIAE(ModelConfig(num_stuff_classes=3, num_thing_classes=4, **TINY))
    before = _copied(model)
    load_initial_weights(model, load_config(config, [f"initial_checkpoint={checkpoint}"]))
    given = load_checkpoint(checkpoint).model.state_dict()
    new = {"proposal_head.class_logits.weight", "proposal_head.class_logits.bias", "memory.vectors"}
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in new else given[name]), name
    path = _other_data_set(tmp_path, monkeypatch)
    output = tmp_path / "run"
    overrides = [f"data.train={path}", f"initial_checkpoint={checkpoint}", "optimization.iterations=6"]
    assert _main(config, output, *overrides) == 0
    assert len(load_checkpoint(output / "model.safetensors").categories.things) == 4
    losses = _scalars(output, "loss/total")
    assert losses[-1] < 0.9 * losses[0]


def test_fine_tuning_for_the_same_categories_takes_everything(config: Path, finished: Path) -> None:
    checkpoint = finished / "model.safetensors"
    model = _tiny_model()
    load_initial_weights(model, load_config(config, [f"initial_checkpoint={checkpoint}"]))
    given = load_checkpoint(checkpoint).model.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("change", ["model.embedding_dim=16", "model.head_convs=2", "model.coord_conv=false"])
def test_a_checkpoint_of_another_architecture_is_refused(
    config: Path, finished: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [change, f"initial_checkpoint={finished / 'model.safetensors'}"]
    assert _main(config, tmp_path / "run", *overrides) == 1
    assert "initial_checkpoint" in _refusal(capsys)


# Memory.


def test_the_memory_moves_towards_the_mean_embeddings(config: Path, data_set: Path, tmp_path: Path) -> None:
    """A momentum of 0: after a step the memory is the batch's mean embeddings, unit vectors."""
    model = _tiny_model()
    before = model.memory.vectors.clone()
    _steps(model, config, data_set, tmp_path, 1, "memory.momentum=0", "memory.rising=false")
    assert not torch.allclose(model.memory.vectors, before)
    torch.testing.assert_close(model.memory.vectors.norm(dim=1), torch.ones(3))
    assert (F.cosine_similarity(model.memory.vectors, before) < 0.999).all()
