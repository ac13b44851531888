# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The units of a run, spread over the workers of a Ray cluster."""

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
from ciae_ros.replay.evaluate import Order, carry_out, checked_plan, describe_model, evaluator_of
from ciae_ros.replay.types import BagError, GroundTruthError, ReplayError, Run
from ciae_ros.replay.unit_evaluation import UnitResult
from ciae_ros.replay.units import Unit

RETRIES = 3
"""Times that a unit is taken up again when its worker has died."""


CONNECT_TIMEOUT = 10.0
"""Seconds."""

LOOPBACK = "localhost", "127.0.0.1"


class FleetError(ReplayError):
    """A cluster that cannot be used."""


class Worker:
    """Holds a model on one machine of the cluster, and starts anew with it when its process has died."""

    def __init__(self, order: Order, threads: int) -> None:
        if threads:
            torch.set_num_threads(threads)
        # Open as long as the process lives.
        self._resources = ExitStack()
        self._predictor, self._evaluator = self._resources.enter_context(evaluator_of(order))

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        return describe_model(self._predictor)

    def run(self, unit: Unit) -> UnitResult | str:
        """A unit's result, or in one line why there is none."""
        try:
            return self._evaluator.run(unit)
        except (BagError, GroundTruthError, NotFiniteError) as error:
            return str(error)


def evaluate_on_ray(order: Order, address: str | None = None, workers: int | None = None) -> Run:
    """As `evaluate`, with the same result. Bags, model and ground truth must have the same paths on all machines.

    Args:
        order: of the run; its output is written by this process.
        address: of the cluster, as `ray.init` takes it; None for the one that RAY_ADDRESS names or that runs on this
            machine, else one that is started on this machine for the run.
        workers: how many; None for one for each GPU of the cluster, or where it has none for each machine.

    Raises:
        FleetError: there is no such cluster, or the model cannot be loaded there.
        Exception: as `evaluate`.
    """
    plan = checked_plan(order)
    _connect(address)
    try:
        actors = _start(order, workers)
        model = _described(actors[0])
        return carry_out(order, plan, model, lambda units, done: _spread(actors, units, done))
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
        raise FleetError(f"no Ray cluster at {address or 'this machine'}: {reason}{hint}") from None


def _check_answers(address: str) -> None:
    """Raise FleetError for HOST:PORT where nobody listens: Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    if host in LOOPBACK and not address.startswith("ray://"):
        host = ray.util.get_node_ip_address()  # Where Ray will look for it.
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise FleetError(f"no Ray cluster at {address} (nobody answers at {host}): {error}") from None


def _start(order: Order, workers: int | None) -> list[Any]:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    machines = sum(1 for node in ray.nodes() if node["Alive"])
    count = workers or gpus or machines
    cpus = int(resources.get("CPU", 1))
    # Without a GPU the workers of a machine share its processor.
    threads = 0 if gpus else max(1, cpus // max(count, machines))
    options: dict[str, Any] = {"max_restarts": -1, "max_task_retries": RETRIES}
    options |= {"num_gpus": 1} if gpus else {"num_cpus": threads}
    remote = ray.remote(Worker)
    return [remote.options(**options).remote(order, threads) for _ in range(count)]


def _described(actor: Any) -> dict[str, Any]:
    try:
        return ray.get(actor.describe.remote())
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise FleetError(f"a worker cannot start: {' '.join(str(cause).split())[-400:]}") from None


def _spread(
    actors: list[Any], units: Sequence[Unit], done: Callable[[int], object]
) -> Iterator[tuple[Unit, UnitResult | str]]:
    """Each worker has one unit at a time: long ones keep nobody waiting but the last."""
    left = list(reversed(units))
    running: dict[Any, tuple[Any, Unit]] = {}
    idle = list(actors)
    while left or running:
        while left and idle:
            actor, unit = idle.pop(), left.pop()
            running[actor.run.remote(unit)] = actor, unit
        (finished, *_), _ = ray.wait(list(running), num_returns=1)
        actor, unit = running.pop(finished)
        idle.append(actor)
        try:
            result: UnitResult | str = ray.get(finished)
        except RayTaskError as error:
            result = " ".join(str(error.cause).split())[-300:]
        except RayError as error:
            result = f"its worker has died {RETRIES + 1} times: {' '.join(str(error).split())[-300:]}"
        done(unit.stop - unit.start)
        yield unit, result
