# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Environments of clusters and containers: variables of other launchers, and little shared memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import distributed as dist

from tests.training.run.tiny_run import refusal, train_with
from training.distributed import process_group

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
TWO_ITERATIONS = "optimization.iterations=2"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": "1"},
        {"WORLD_SIZE": ""},
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"RANK": "3", "LOCAL_RANK": "3"},
    ],
    ids=str,
)
def test_one_process_joins_no_group(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with process_group("cpu"):
        assert not dist.is_initialized()


def test_training_with_the_variables_of_a_cluster(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert train_with(config, tmp_path / "run", TWO_ITERATIONS) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is 4, but without RANK and MASTER_ADDR and MASTER_PORT"),
        ({"WORLD_SIZE": "4", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}, "without MASTER_PORT"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number"),
        ({"WORLD_SIZE": "0", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "WORLD_SIZE 0"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
            "RANK is 2 and WORLD_SIZE 2",
        ),
        ({"WORLD_SIZE": "2", "RANK": "x", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "RANK is 'x', not a number"),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}, "MASTER_PORT is 'x'"),
    ],
)
def test_variables_that_do_not_fit_are_named(
    variables: dict[str, str],
    message: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert train_with(config, tmp_path / "run", TWO_ITERATIONS) == 1
    assert message in refusal(capsys)
    assert not (tmp_path / "run").exists()


class _Unsendable:
    """A batch that does not fit into the shared memory."""

    def __reduce__(self) -> str:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


def _unsendable(items: object) -> _Unsendable:
    return _Unsendable()


def test_too_little_shared_memory_is_reported_in_one_line(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.data.dataset.collate", _unsendable)
    assert train_with(config, tmp_path / "run", TWO_ITERATIONS, "data.workers=1") == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if line.startswith("training: "))
    assert "/dev/shm" in line and "set data.workers=0" in line and "--shm-size" in line


def test_no_room_for_the_workers_themselves(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_space(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.engine.loop.load_batches", no_space)
    assert train_with(config, tmp_path / "run", TWO_ITERATIONS, "data.workers=1") == 1
    assert "No space left on device" in (said := capsys.readouterr().err)
    assert "set data.workers=0" in said
