# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The few things that a process needs from its sisters; with one process all of them do nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

PATIENCE = timedelta(hours=2)
"""How long ranks wait for rank 0, which may be evaluating on thousands of images."""


@contextmanager
def process_group(device: str = "auto") -> Iterator[None]:
    """Join the processes that `torchrun` has started, NCCL on GPUs and gloo on CPUs, and part from them at the end.

    Args:
        device: as in the configuration.
    """
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def num_ranks() -> int:
    """Processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process; 0 writes files and pictures."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of all ranks' tensors, without gradient."""
    total = tensor.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean of all ranks' tensors, without gradient."""
    return sum_over_ranks(tensor) / num_ranks()
