# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Worker processes of the data loader, and what to do when one of them ends."""

from __future__ import annotations

import os
import shutil
from multiprocessing.queues import Queue
from pathlib import Path

import torch

SHARED_MEMORY = Path("/dev/shm")
CANNOT_SEND = 75
"""Exit code of a worker that cannot pass on a batch."""
MEBIBYTE = 1 << 20


def prepare_worker(worker: int) -> None:
    """Limit a worker to one thread, because workers share the cores, and isolate it from signals.

    In its own process group it does not receive a SIGTERM or Ctrl-C of the run's group: the main process still needs
    the current batch and then stops the workers.
    """
    torch.set_num_threads(1)
    os.setpgid(0, 0)
    # By default the batch would be lost after a traceback, and the main process would wait for it forever.
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]


def is_worker_failure(error: Exception) -> bool:
    """Return whether the loader has found that a worker ended, or cannot start one for lack of shared memory."""
    return isinstance(error, OSError) or "DataLoader worker" in str(error)


def describe_failure(error: Exception) -> str:
    """State in one line that a worker has failed, and what to do."""
    reason = str(error).strip().splitlines()[0].rstrip(".")
    usage = shutil.disk_usage(SHARED_MEMORY)
    return (
        f"a worker of the data loader failed ({reason}). Workers pass on batches through {SHARED_MEMORY}, which has "
        f"{usage.total / MEBIBYTE:.3g} MiB: set data.workers=0, or enlarge it (docker run --shm-size=8g)"
    )


def _end_worker(error: Exception, batch: object) -> None:
    os._exit(CANNOT_SEND)
