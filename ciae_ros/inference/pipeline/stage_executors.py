# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Stage executors: the tasks of one executor run in order, tasks of different executors run concurrently.

On a CUDA device an executor is a stream, and events order tasks across streams, so the host never waits. On a CPU an
executor is a thread, which waits for the tasks that its own task depends on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch


class StageExecutor(Protocol):
    """Runs the tasks of one pipeline stage in the order of their submission."""

    def drain(self) -> None:
        """Wait until all tasks are done."""

    def close(self) -> None:
        """Wait until all tasks are done; none may be submitted afterwards."""


class StageTask(Protocol):
    """One task of a stage executor; reusable, but only once at a time."""

    def run(self, work: Callable[[], None], after: StageTask | None = None) -> None:
        """Run `work` as soon as the executor is free and the task `after`, of another executor, is done."""

    def wait_on(self) -> None:
        """Make the executor that calls this wait until the task is done. Raises what the task raised."""

    def wait(self) -> None:
        """Block the host until the task is done. Raises what the task raised."""

    def seconds(self) -> float:
        """Return the run time of the task without its waiting time; valid after `wait`."""


class ThreadExecutor:
    """A stage executor with a thread of its own, for CPUs."""

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"ciae-{name}")

    def task(self) -> ThreadTask:
        """Create a task of this executor."""
        return ThreadTask(self)

    def drain(self) -> None:
        self.thread.submit(lambda: None).result()

    def close(self) -> None:
        self.thread.shutdown()


class ThreadTask:
    """A task of a `ThreadExecutor`; see `StageTask`."""

    def __init__(self, executor: ThreadExecutor) -> None:
        self._executor = executor
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._seconds = 0.0

    def run(self, work: Callable[[], None], after: StageTask | None = None) -> None:
        self._done.clear()
        self._error = None
        self._executor.thread.submit(self._run, work, after)

    def wait_on(self) -> None:
        self.wait()

    def wait(self) -> None:
        self._done.wait()
        if self._error is not None:
            raise self._error

    def seconds(self) -> float:
        return self._seconds

    def _run(self, work: Callable[[], None], after: StageTask | None) -> None:
        try:
            if after is not None:
                after.wait_on()
            start = time.perf_counter()
            work()
            self._seconds = time.perf_counter() - start
        except BaseException as error:
            self._error = error
        self._done.set()


class StreamExecutor:
    """A stage executor on a CUDA stream. Work is launched by the calling thread and completes asynchronously."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    def task(self) -> StreamTask:
        """Create a task of this executor."""
        return StreamTask(self)

    def drain(self) -> None:
        """Wait until all tasks are done. Raises RuntimeError after an error of the device."""
        self.stream.synchronize()

    def close(self) -> None:
        self.drain()


class StreamTask:
    """A task of a `StreamExecutor`, between a start and an end event; see `StageTask`.

    `run` raises what launching the work raises; errors of the device are raised by `wait`.
    """

    def __init__(self, executor: StreamExecutor) -> None:
        self.stream = executor.stream
        # Blocking: the host sleeps in `wait` instead of keeping a core busy.
        self.start = torch.cuda.Event(enable_timing=True, blocking=True)
        self.end = torch.cuda.Event(enable_timing=True, blocking=True)

    def run(self, work: Callable[[], None], after: StageTask | None = None) -> None:
        with torch.cuda.stream(self.stream):
            if after is not None:
                after.wait_on()
            self.start.record()
            work()
            self.end.record()

    def wait_on(self) -> None:
        torch.cuda.current_stream().wait_event(self.end)

    def wait(self) -> None:
        self.end.synchronize()

    def seconds(self) -> float:
        return 1e-3 * self.start.elapsed_time(self.end)
