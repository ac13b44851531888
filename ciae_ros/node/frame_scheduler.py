# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scheduling of the newest frame of every camera, fairly; superseded frames are returned to be counted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FrameScheduler(Generic[Item]):
    """One mailbox per camera. Any thread may put; one thread takes."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self._mailboxes: dict[str, Item | None] = dict.fromkeys(cameras)
        self._service_order = list(cameras)
        self._changed = threading.Condition()
        self._closed = False

    def put(self, camera: str, frame: Item) -> Item | None:
        """Store a camera's newest frame, replacing one that is still waiting.

        Returns:
            The discarded frame: the one that was waiting, if any, or the new one after `close`.
        """
        with self._changed:
            if self._closed:
                return frame
            superseded = self._mailboxes[camera]
            self._mailboxes[camera] = frame
            self._changed.notify()
            return superseded

    def take(self, at_most: int = 1) -> list[tuple[str, Item]]:
        """Wait for a frame, and take up to `at_most` waiting frames, starting with the least recently served camera.

        Returns:
            Cameras with their frames, at least one; empty after `close`.
        """
        with self._changed:
            while not self._closed:
                taken = [
                    (camera, frame) for camera in self._service_order if (frame := self._mailboxes[camera]) is not None
                ]
                taken = taken[:at_most]
                if taken:
                    for camera, _ in taken:
                        self._mailboxes[camera] = None
                        self._service_order.remove(camera)
                        self._service_order.append(camera)
                    return taken
                self._changed.wait()
            return []

    def clear(self) -> list[tuple[str, Item]]:
        """Empty the mailboxes; returns the waiting frames with their cameras."""
        with self._changed:
            waiting = [(camera, frame) for camera, frame in self._mailboxes.items() if frame is not None]
            self._mailboxes = dict.fromkeys(self._mailboxes)
            return waiting

    def close(self) -> list[tuple[str, Item]]:
        """Wake the taking thread for the last time; returns the waiting frames with their cameras."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return self.clear()
