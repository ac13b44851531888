# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading ahead: frames are read and decoded while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 8
"""Number of decoded frames in the queue."""


def read_ahead(items: Iterable[Item], ahead: int = AHEAD) -> Iterator[Item]:
    """Iterate over items on a thread, up to `ahead` of them in advance.

    An error of the thread is raised in place of the item. The thread stops when the caller does.
    """
    made: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, stopped), name="ciae-read", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = made.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(item, BaseException)
                raise item
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


def _make(
    items: Iterable[Item], made: queue.Queue[tuple[str, Item | BaseException | None]], stopped: threading.Event
) -> None:
    try:
        for item in items:
            if not _put(made, ("item", item), stopped):
                return
    except BaseException as error:
        _put(made, ("error", error), stopped)
    else:
        _put(made, ("end", None), stopped)


def _put(
    made: queue.Queue[tuple[str, Item | BaseException | None]],
    entry: tuple[str, Item | BaseException | None],
    stopped: threading.Event,
) -> bool:
    """Put an entry into the queue; returns False after the consumer has stopped."""
    while not stopped.is_set():
        try:
            made.put(entry, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
