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


@contextmanager
def process_group(device: str = "auto") -> Iterator[None]:
    """Join the process group of `torchrun`, with NCCL on GPUs and gloo on CPUs, and leave it at the end.

    Args:
        device: device of the configuration.
    """
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=PROCESS_GROUP_TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


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
