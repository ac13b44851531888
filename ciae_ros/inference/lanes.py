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


class Mark(Protocol):
    """The last piece of work that was given to a lane under this mark; used again and again."""

    def wait(self) -> None:
        """Block until the work is done. Raises what the work raised."""

    def seconds(self) -> float:
        """How long the work took; to be asked after `wait`."""


class Lane(Protocol):
    """Does pieces of work in the order in which they come."""

    def mark(self) -> Mark:
        """A new mark for this lane's work."""

    def run(self, work: Callable[[], None], mark: Mark, after: Mark | None = None) -> None:
        """Have the work done as soon as the lane is free and the work of `after`, on another lane, is done."""

    def drain(self) -> None:
        """Wait until all work is done."""

    def close(self) -> None:
        """Wait until all work is done; no more may come."""


class ThreadMark:
    """Of a `ThreadLane`."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._seconds = 0.0

    def wait(self) -> None:
        """Block until the work is done. Raises what the work raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error

    def seconds(self) -> float:
        """How long the work took, without the waiting."""
        return self._seconds

    def clear(self) -> None:
        """New work begins."""
        self._done.clear()
        self._error = None

    def do(self, work: Callable[[], None], after: Mark | None) -> None:
        """Do the work, on whatever thread this is called; nothing is raised here."""
        try:
            if after is not None:
                after.wait()
            start = time.perf_counter()
            work()
            self._seconds = time.perf_counter() - start
        except BaseException as error:
            self._error = error
        self._done.set()


class ThreadLane:
    """A thread of its own."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ciae-{name}")

    def mark(self) -> ThreadMark:
        """A new mark for this lane's work."""
        return ThreadMark()

    def run(self, work: Callable[[], None], mark: ThreadMark, after: Mark | None = None) -> None:
        """Have the work done on the thread."""
        mark.clear()
        self._thread.submit(mark.do, work, after)

    def drain(self) -> None:
        """Wait until all work is done."""
        self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """Wait until all work is done, and end the thread."""
        self._thread.shutdown()


class StreamMark:
    """Of a `StreamLane`: an event before the work and one after it."""

    def __init__(self) -> None:
        # The host sleeps in `wait` instead of keeping a core busy.
        self.start = torch.cuda.Event(enable_timing=True, blocking=True)
        self.end = torch.cuda.Event(enable_timing=True, blocking=True)

    def wait(self) -> None:
        """Block until the device has done the work. Raises RuntimeError for an error of the device."""
        self.end.synchronize()

    def seconds(self) -> float:
        """How long the device worked on it."""
        return 1e-3 * self.start.elapsed_time(self.end)


class StreamLane:
    """A CUDA stream. The work is launched at once, by the thread that calls, and done later."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    def mark(self) -> StreamMark:
        """A new mark for this lane's work."""
        return StreamMark()

    def run(self, work: Callable[[], None], mark: StreamMark, after: StreamMark | None = None) -> None:
        """Launch the work on the stream. Raises what launching it raises."""
        with torch.cuda.stream(self.stream):
            if after is not None:
                self.stream.wait_event(after.end)
            mark.start.record(self.stream)
            work()
            mark.end.record(self.stream)

    def drain(self) -> None:
        """Wait until all work is done. Raises RuntimeError for an error of the device."""
        self.stream.synchronize()

    def close(self) -> None:
        """Nothing is held that would have to be given back."""
