# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A thread for work that would keep the executor from everything else, and services that are answered from it."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.task import Future

Result = TypeVar("Result")


class Worker:
    """Does pieces of work one after the other, while the node's executor serves timers, topics and other services."""

    def __init__(self, node: Node, name: str) -> None:
        """Start the thread when it is first needed.

        Args:
            node: whose executor is told of finished work.
            name: of the thread.
        """
        self._node = node
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def submit(self, work: Callable[[], Result]) -> concurrent.futures.Future[Result]:
        """Have work done after what was submitted before."""
        return self._pool.submit(work)

    def serve(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Awaitable[Any]]:
        """A service callback that has `callback` answer on this thread.

        The service needs a reentrant callback group: another one would be blocked until the answer is there.
        """

        async def answer(request: Any, response: Any) -> Any:
            answered: Future[Any] = Future(executor=self._node.executor)

            def work() -> None:
                try:
                    answered.set_result(callback(request, response))
                except Exception as error:
                    answered.set_exception(error)
                if (executor := self._node.executor) is not None:
                    executor.wake()

            self._pool.submit(work)
            return await answered

        return answer

    def is_idle_within(self, seconds: float) -> bool:
        """Wait until everything is done that was submitted; False if it is not after so many seconds."""
        return bool(concurrent.futures.wait([self._pool.submit(lambda: None)], timeout=seconds).done)

    def has_answered_within(self, seconds: float) -> bool:
        """Wait until all requests are answered and the executor has sent the answers.

        Returns:
            False if it has not after so many seconds, or if no executor serves the node any more.
        """
        end = time.monotonic() + seconds
        if not self.is_idle_within(seconds) or (executor := self._node.executor) is None:
            return False
        # The executor takes up its tasks in order: those that answer are older than this one.
        sent = threading.Event()
        executor.create_task(sent.set)
        return sent.wait(end - time.monotonic())


def finishes_within(seconds: float, work: Callable[[], object]) -> bool:
    """Do work on a thread of its own and wait for it at most so many seconds; raises what it raised in that time."""
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    # A daemon, so that work that never returns does not keep the process from ending.
    threading.Thread(target=run, name="ciae-bounded", daemon=True).start()
    if not concurrent.futures.wait([outcome], timeout=seconds).done:
        return False
    outcome.result()
    return True
