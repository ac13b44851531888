# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A run over two workers of a Ray cluster, one of which is killed: the same as on one machine."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch

# Read when Ray is imported: use the loopback interface, as on macOS, and require the token.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
pytest.importorskip("ray", reason="needs requirements-found.txt")

from ciae_ros.inference import save_checkpoint
from ciae_ros.model import CIAE
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.evaluation.model_options import ModelOptions
from ciae_ros.replay.evaluation.ray_cluster import ClusterError, evaluate_on_cluster
from ciae_ros.replay.evaluation.run_evaluation import EvaluationConfig, evaluate
from ciae_ros.replay.evaluation.run_folder import RunFolder
from ciae_ros.replay.evaluation.shard_evaluation import ShardResult
from ciae_ros.replay.evaluation.shards import Shard
from tests.replay.evaluation.test_evaluate_bags import assert_same_results
from tests.training.evaluation.test_evaluate import LENIENT, LIGHT
from tests.training.synthetic import CATEGORIES

FRAMES = 60
SECOND = 10**9


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelOptions:
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    torch.manual_seed(3)
    save_checkpoint(path, "random", CIAE(LIGHT).eval(), CATEGORIES, LENIENT)
    return ModelOptions(str(path), "cpu")


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A long bag, a short bag, and a path without a bag."""
    folder = tmp_path_factory.mktemp("bags")
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8), (96, 64))
    for name, frames in (("long", FRAMES), ("short", 3)):
        images = (("/image", SECOND + i * SECOND // 10, np.roll(texture, i, axis=1)) for i in range(frames))
        write_bag(folder / name, images)
    return [folder / "long", folder / "none", folder / "short"]


@pytest.fixture
def cluster(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray cluster started by another process."""
    ray = shutil.which("ray")
    assert ray, "ray is not on the PATH"
    folder = tempfile.mkdtemp(prefix="ray")  # Of its own, and short: paths of sockets must be.
    arguments = [f"--port={port}", f"--temp-dir={folder}", "--num-cpus=2", "--include-dashboard=false"]
    process = subprocess.Popen(
        [ray, "start", "--head", "--block", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            break
        assert process.poll() is None, "ray start has ended"
        time.sleep(0.1)
    yield process
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def workers(cluster: subprocess.Popen[bytes]) -> list[psutil.Process]:
    children = psutil.Process(cluster.pid).children(recursive=True)
    return [one for one in children if "ray::ShardWorker" in " ".join(one.cmdline())]


@pytest.mark.slow
@pytest.mark.timeout(600)  # Ray starts processes that import PyTorch.
def test_the_same_results_although_a_worker_is_killed(
    cluster: subprocess.Popen[bytes],
    port: int,
    bags: list[Path],
    model: ModelOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = evaluate(EvaluationConfig(bags, tmp_path / "alone", model, shard_frames=4))
    killed: list[int] = []
    write = RunFolder.write

    def write_and_kill(folder: RunFolder, shard: Shard, result: ShardResult) -> None:
        write(folder, shard, result)
        if not killed:
            first, _ = workers(cluster)
            first.kill()
            killed.append(first.pid)

    monkeypatch.setattr(RunFolder, "write", write_and_kill)
    found = evaluate_on_cluster(
        EvaluationConfig(bags, tmp_path / "cluster", model, shard_frames=4), f"127.0.0.1:{port}", workers=2
    )
    assert killed
    assert len(found.frames) == FRAMES + 3
    assert_same_results(alone, found)
    (problem,) = found.metadata["problems"]
    assert str(bags[1]) in problem


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_missing_cluster_or_model_is_reported_in_one_line(bags: list[Path], tmp_path: Path) -> None:
    nowhere = EvaluationConfig(bags, tmp_path / "run", ModelOptions("/no/such.safetensors", "cpu"))
    with pytest.raises(ClusterError, match="no checkpoint at /no/such"):
        evaluate_on_cluster(nowhere, workers=1)
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        evaluate_on_cluster(nowhere, address="127.0.0.1:1")
