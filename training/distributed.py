# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Communication between the ranks of a distributed run; without one, the functions do nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

PROCESS_GROUP_TIMEOUT = timedelta(hours=2)
"""Maximum time to wait for peer ranks: rank 0 may be evaluating thousands of images."""
VARIABLES = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables that `torchrun` sets next to WORLD_SIZE."""


class EnvironmentVariableError(ValueError):
    """Environment variables that do not describe this process as one of several; the message names one."""


@contextmanager
def process_group(device: str = "auto") -> Iterator[None]:
    """Join the process group of `torchrun`, with NCCL on GPUs and gloo on CPUs, and leave it at the end.

    Args:
        device: device of the configuration.

    Raises:
        EnvironmentVariableError: the environment describes several processes, but incompletely.
    """
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if not _has_several_processes(on_gpus):
        yield
        return
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        dist.init_process_group("nccl" if on_gpus else "gloo", timeout=PROCESS_GROUP_TIMEOUT)
    except (dist.DistError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EnvironmentVariableError(f"the processes cannot reach each other at MASTER_ADDR: {reason}") from None
    try:
        yield
    finally:
        dist.destroy_process_group()


def _has_several_processes(on_gpus: bool) -> bool:
    """Return whether to join a process group. Clusters and container images may set WORLD_SIZE without `torchrun`."""
    size = _number("WORLD_SIZE")
    missing = [name for name in (*VARIABLES, *(("LOCAL_RANK",) if on_gpus else ())) if not os.environ.get(name)]
    if size is None or (size == 1 and missing):
        return False
    hint = "start the processes with torchrun, or unset WORLD_SIZE to train in one process"
    if missing:
        raise EnvironmentVariableError(f"WORLD_SIZE is {size}, but without {' and '.join(missing)}: {hint}")
    rank, _ = _number("RANK"), _number("MASTER_PORT")
    if size < 1 or rank is None or not 0 <= rank < size:
        raise EnvironmentVariableError(f"RANK is {rank} and WORLD_SIZE {size}: {hint}")
    local_rank = _number("LOCAL_RANK") if on_gpus else None
    if local_rank is not None and not 0 <= local_rank < torch.cuda.device_count():
        raise EnvironmentVariableError(f"LOCAL_RANK is {local_rank}, but there are {torch.cuda.device_count()} GPUs")
    return True


def _number(name: str) -> int | None:
    """Return the value of a variable; None if it is not set or empty."""
    text = os.environ.get(name, "").strip()
    try:
        return int(text) if text else None
    except ValueError:
        raise EnvironmentVariableError(f"{name} is {text!r}, not a number: unset it to train in one process") from None


def num_ranks() -> int:
    """Return the number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process; rank 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, without gradient."""
    total = tensor.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """Return the mean of a tensor over all ranks, without gradient."""
    return sum_over_ranks(tensor) / num_ranks()
