# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A worker thread for long tasks that would block the executor, and services that run on it."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.task import Future

Result = TypeVar("Result")

RESPONSE_TIMEOUT = 3.5
"""Seconds to wait for the responses to requests before the process ends: less than `SHUTDOWN_TIMEOUT`, after which it
ends in any case, and long enough for `ACKNOWLEDGEMENT_TIMEOUT`, which is spent before a failed transition is
answered."""


class Worker:
    """Runs tasks sequentially, while the node's executor serves timers, topics and other services."""

    def __init__(self, node: Node, name: str) -> None:
        """Create the worker; its thread starts with the first task.

        Args:
            node: node whose executor sends the responses.
            name: name of the thread.
        """
        self._node = node
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def submit(self, work: Callable[[], Result]) -> concurrent.futures.Future[Result]:
        """Run a task after those submitted earlier."""
        return self._pool.submit(work)

    def serve(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Wrap a service callback so that it runs on this thread.

        The service needs a reentrant callback group: another one would block until the response is available.
        """

        async def respond(request: Any, response: Any) -> Any:
            completed: Future = Future(executor=self._node.executor)

            def work() -> None:
                try:
                    completed.set_result(callback(request, response))
                except Exception as error:
                    completed.set_exception(error)
                if (executor := self._node.executor) is not None:
                    executor.wake()

            self._pool.submit(work)
            return await completed

        return respond

    def is_idle_within(self, seconds: float) -> bool:
        """Wait until all submitted tasks are done; returns False after a timeout."""
        return bool(concurrent.futures.wait([self._pool.submit(lambda: None)], timeout=seconds).done)

    def wait_for_responses(self, seconds: float) -> bool:
        """Wait until all requests are processed and the executor has sent the responses.

        Returns:
            False after a timeout, or if the node has no executor any more.
        """
        end = time.monotonic() + seconds
        if not self.is_idle_within(seconds) or (executor := self._node.executor) is None:
            return False
        # The executor runs tasks in order, and those that send responses are older than this one.
        sent = threading.Event()
        executor.create_task(sent.set)
        return sent.wait(end - time.monotonic())


def flush_responses(*workers: Worker) -> None:
    """Wait for at most `RESPONSE_TIMEOUT` until the workers' requests are answered."""
    end = time.monotonic() + RESPONSE_TIMEOUT
    for worker in workers:
        worker.wait_for_responses(max(0.0, end - time.monotonic()))
    time.sleep(0.2)  # Responses are in transit, and services have no wait_for_all_acked.


def finishes_within(seconds: float, work: Callable[[], object]) -> bool:
    """Run a task on a thread and wait for it with a timeout; raises what the task raised in that time."""
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    # A daemon, so that a task that never returns does not prevent the process from exiting.
    threading.Thread(target=run, name="ciae-bounded", daemon=True).start()
    if not concurrent.futures.wait([outcome], timeout=seconds).done:
        return False
    outcome.result()
    return True
