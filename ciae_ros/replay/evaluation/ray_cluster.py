# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Distribution of the shards of a run over the workers of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from ciae_ros.inference import NotFiniteError
from ciae_ros.replay.bags.types import BagError, GroundTruthError, ReplayError
from ciae_ros.replay.evaluation.run_evaluation import (
    EvaluationConfig,
    checked_plan,
    describe_model,
    evaluator_of,
    run_evaluation,
)
from ciae_ros.replay.evaluation.shard_evaluation import ShardResult
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.metrics.run_tables import EvaluationRun

RETRIES = 3
"""Number of retries of a shard whose worker has died."""


CONNECT_TIMEOUT = 10.0
"""Seconds."""

LOOPBACK = "localhost", "127.0.0.1"


class ClusterError(ReplayError):
    """A cluster that cannot be used."""


class ShardWorker:
    """An actor with a model on one machine of the cluster, which Ray restarts if its process dies."""

    def __init__(self, config: EvaluationConfig, threads: int) -> None:
        if threads:
            torch.set_num_threads(threads)
        # Open for the lifetime of the process.
        self._resources = ExitStack()
        self._predictor, self._evaluator = self._resources.enter_context(evaluator_of(config))

    def describe(self) -> dict[str, Any]:
        """Describe the model for run.json."""
        return describe_model(self._predictor)

    def run(self, shard: Shard) -> ShardResult | str:
        """Return the result of a shard, or a one-line reason why there is none."""
        try:
            return self._evaluator.run(shard)
        except (BagError, GroundTruthError, NotFiniteError) as error:
            return str(error)


def evaluate_on_cluster(
    config: EvaluationConfig, address: str | None = None, workers: int | None = None
) -> EvaluationRun:
    """Evaluate on a cluster, with the same result as `evaluate`.

    Bags, model and ground truth must have the same paths on all machines.

    Args:
        config: configuration of the run; the output is written by this process.
        address: address of the cluster for `ray.init`; None for that of RAY_ADDRESS or a running local cluster, or else
            a local cluster that is started for the run.
        workers: number of workers; None for one for each GPU, or one for each machine if there are no GPUs.

    Raises:
        ClusterError: the cluster cannot be reached, or the model cannot be loaded there.
        Exception: as `evaluate`.
    """
    plan = checked_plan(config)
    _connect(address)
    try:
        actors = _start(config, workers)
        model = _described(actors[0])
        return run_evaluation(config, plan, model, lambda shards, done: _spread(actors, shards, done))
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_answers(address or os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = (
            "" if os.environ.get("RAY_AUTH_MODE") == "token" else " (if it asks for a token, set RAY_AUTH_MODE=token)"
        )
        reason = " ".join(str(error).split())
        raise ClusterError(f"no Ray cluster at {address or 'this machine'}: {reason}{hint}") from None


def _check_answers(address: str) -> None:
    """Raise ClusterError for HOST:PORT if nothing listens there: Ray itself would retry for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    if host in LOOPBACK and not address.startswith("ray://"):
        host = ray.util.get_node_ip_address()  # Ray connects to this address.
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ClusterError(f"no Ray cluster at {address} (no response at {host}): {error}") from None


def _start(config: EvaluationConfig, workers: int | None) -> list[Any]:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    machines = sum(1 for node in ray.nodes() if node["Alive"])
    count = workers or gpus or machines
    cpus = int(resources.get("CPU", 1))
    # Without GPUs the workers of a machine share its cores.
    threads = 0 if gpus else max(1, cpus // max(count, machines))
    options: dict[str, Any] = {"max_restarts": -1, "max_task_retries": RETRIES}
    options |= {"num_gpus": 1} if gpus else {"num_cpus": threads}
    remote = ray.remote(ShardWorker)
    return [remote.options(**options).remote(config, threads) for _ in range(count)]


def _described(actor: Any) -> dict[str, Any]:
    try:
        return ray.get(actor.describe.remote())
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise ClusterError(f"a worker cannot start: {' '.join(str(cause).split())[-400:]}") from None


def _spread(
    actors: list[Any], shards: Sequence[Shard], done: Callable[[int], object]
) -> Iterator[tuple[Shard, ShardResult | str]]:
    """Give each worker one shard at a time, so that long shards delay only the end."""
    left = list(reversed(shards))
    running: dict[Any, tuple[Any, Shard]] = {}
    idle = list(actors)
    while left or running:
        while left and idle:
            actor, shard = idle.pop(), left.pop()
            running[actor.run.remote(shard)] = actor, shard
        (finished, *_), _ = ray.wait(list(running), num_returns=1)
        actor, shard = running.pop(finished)
        idle.append(actor)
        try:
            result: ShardResult | str = ray.get(finished)
        except RayTaskError as error:
            result = " ".join(str(error.cause).split())[-300:]
        except RayError as error:
            result = f"its worker has died {RETRIES + 1} times: {' '.join(str(error).split())[-300:]}"
        done(shard.stop - shard.start)
        yield shard, result
