# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A stopped or killed training run resumes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from ciae_ros.core.atomic_file import open_atomically
from tests.training.run.tiny_run import (
    CHECKPOINT_EVERY,
    FORKS,
    ITERATIONS,
    RunningTraining,
    assert_same_result,
    copy_of_run,
    logged,
    refusal,
    saved_state,
    stop_after,
    train_with,
)

# Interruptions.


def test_sigterm_saves_and_the_same_command_resumes(config: Path, finished: Path, tmp_path: Path) -> None:
    run = RunningTraining(config, tmp_path / "run")
    run.wait_for_checkpoint()
    run.process.terminate()
    assert run.exit_code() == 0, run.log
    iteration = saved_state(run.output)["iteration"]
    assert CHECKPOINT_EVERY <= iteration < ITERATIONS
    assert f"stopped after iteration {iteration}" in run.log
    assert not (run.output / "model.safetensors").exists()
    run = RunningTraining(config, tmp_path / "run")
    assert run.exit_code() == 0, run.log
    assert f"resuming at iteration {iteration}" in run.log
    assert_same_result(run.output, finished)
    assert len(logged(run.output, "loss/total")) == ITERATIONS


@pytest.mark.parametrize("to", ["group", "each"])
def test_sigterm_to_all_of_its_processes_saves_too(config: Path, tmp_path: Path, to: str) -> None:
    """Send the signal to the process group, including the data loader's workers, like `timeout`, systemd and Slurm."""
    run = RunningTraining(
        config, tmp_path / "run", "data.workers=1", "optimization.iterations=100000", "checkpoint_every=1"
    )
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
    assert f"stopped after iteration {saved_state(run.output)['iteration']}" in run.log
    assert "Traceback" not in run.log


def test_sigkill_at_a_random_moment_costs_no_more_than_to_the_last_checkpoint(
    config: Path, finished: Path, tmp_path: Path
) -> None:
    """A run that was killed twice resumes with another number of workers, with the same result."""
    for kill in range(2):
        run = RunningTraining(config, tmp_path / "run", f"data.workers={kill % 2}", "checkpoint_every=2")
        run.wait_for_checkpoint()
        time.sleep(random.SystemRandom().uniform(0.0, 0.6))
        run.process.kill()
        assert run.exit_code() in (-signal.SIGKILL, 0), run.log
        assert saved_state(run.output)["iteration"] % 2 == 0
    assert train_with(config, run.output) == 0
    assert_same_result(run.output, finished)


def _be_killed_while_writing(path: Path) -> None:
    with open_atomically(path) as file:
        file.write(b"x" * 1_000_000)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_whose_writer_is_killed_is_still_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for content in (b"old", b"new"):
        with open_atomically(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    child = FORKS.Process(target=_be_killed_while_writing, args=(path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert path.read_bytes() == b"new"


def test_remains_of_a_killed_writer_do_not_matter(config: Path, finished: Path, tmp_path: Path) -> None:
    output = copy_of_run(finished, tmp_path)
    (output / "state.pt.unfinished").write_bytes((finished / "state.pt").read_bytes()[:1000])
    assert train_with(config, output) == 0
    assert_same_result(output, finished)


def test_sigterm_in_the_last_iteration_loses_nothing(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(ITERATIONS, patch)
        assert train_with(config, tmp_path / "run") == 0
    assert train_with(config, tmp_path / "run") == 0
    assert_same_result(tmp_path / "run", finished)


def test_a_run_does_not_resume_with_another_configuration(
    config: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = copy_of_run(finished, tmp_path)
    capsys.readouterr()
    assert train_with(config, output, "optimization.learning_rate=0.5") == 1
    line = refusal(capsys)
    assert "state.pt belongs to a run with another optimization.learning_rate (" in line
    assert line.endswith(", not 0.5): choose another output folder")
    assert (output / "state.pt").read_bytes() == (finished / "state.pt").read_bytes()
    # What does not change the weights may change.
    assert train_with(config, output, "log_every=7", "data.workers=1") == 0
