# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lanes: work on one lane is done in order, work on different lanes at the same time.

On a CUDA device a lane is a stream and the order between lanes is made by events, so that the host waits for nothing.
On a CPU a lane is a thread, which waits for what it needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch


class Lane(Protocol):
    """Does pieces of work in the order in which they come."""

    def drain(self) -> None:
        """Wait until all work is done."""

    def close(self) -> None:
        """Wait until all work is done; no more may come."""


class Mark(Protocol):
    """One piece of work on a lane at a time, again and again: when it is done, and how long it took."""

    def run(self, work: Callable[[], None], after: Mark | None = None) -> None:
        """Have work done as soon as the lane is free and the work of `after`, on another lane, is done."""

    def hold(self) -> None:
        """Called in the work of another lane: go on there when this work is done. Raises what this work raised."""

    def wait(self) -> None:
        """Have the host wait until the work is done. Raises what the work raised."""

    def seconds(self) -> float:
        """How long the work took, without the waiting; to be asked after `wait`."""


class ThreadLane:
    """A thread of its own."""

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"ciae-{name}")

    def mark(self) -> ThreadMark:
        """For work on this lane."""
        return ThreadMark(self)

    def drain(self) -> None:
        """Wait until all work is done."""
        self.thread.submit(lambda: None).result()

    def close(self) -> None:
        """Wait until all work is done, and end the thread."""
        self.thread.shutdown()


class ThreadMark:
    """Of a `ThreadLane`. Its methods do what `Mark` says."""

    def __init__(self, lane: ThreadLane) -> None:
        self._lane = lane
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._seconds = 0.0

    def run(self, work: Callable[[], None], after: Mark | None = None) -> None:
        self._done.clear()
        self._error = None
        self._lane.thread.submit(self._do, work, after)

    def hold(self) -> None:
        self.wait()

    def wait(self) -> None:
        self._done.wait()
        if self._error is not None:
            raise self._error

    def seconds(self) -> float:
        return self._seconds

    def _do(self, work: Callable[[], None], after: Mark | None) -> None:
        try:
            if after is not None:
                after.hold()
            start = time.perf_counter()
            work()
            self._seconds = time.perf_counter() - start
        except BaseException as error:
            self._error = error
        self._done.set()


class StreamLane:
    """A CUDA stream. The work is launched at once, by the thread that calls, and done later."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    def mark(self) -> StreamMark:
        """For work on this lane."""
        return StreamMark(self)

    def drain(self) -> None:
        """Wait until all work is done. Raises RuntimeError for an error of the device."""
        self.stream.synchronize()

    def close(self) -> None:
        """Wait until all work is done."""
        self.drain()


class StreamMark:
    """Of a `StreamLane`: an event before the work and one after it. Its methods do what `Mark` says.

    What launching the work raises is raised by `run`; errors of the device are raised by `wait`.
    """

    def __init__(self, lane: StreamLane) -> None:
        self.stream = lane.stream
        # Blocking: the host sleeps in `wait` instead of keeping a core busy.
        self.start = torch.cuda.Event(enable_timing=True, blocking=True)
        self.end = torch.cuda.Event(enable_timing=True, blocking=True)

    def run(self, work: Callable[[], None], after: Mark | None = None) -> None:
        with torch.cuda.stream(self.stream):
            if after is not None:
                after.hold()
            self.start.record()
            work()
            self.end.record()

    def hold(self) -> None:
        torch.cuda.current_stream().wait_event(self.end)

    def wait(self) -> None:
        self.end.synchronize()

    def seconds(self) -> float:
        return 1e-3 * self.start.elapsed_time(self.end)
