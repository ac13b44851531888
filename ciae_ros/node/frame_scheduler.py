# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The newest frame of every camera, handed out fairly; whatever is older is given back to be counted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

Frame = TypeVar("Frame")


class FrameScheduler(Generic[Frame]):
    """One slot per camera. Any thread may put; one thread takes."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self._slots: dict[str, Frame | None] = dict.fromkeys(cameras)
        self._turns = list(cameras)
        self._changed = threading.Condition()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def put(self, camera: str, frame: Frame) -> Frame | None:
        """Store a camera's newest frame in place of one that still waits.

        Returns:
            The frame that nobody will take: the one that waited, if any, or after `close` the new one.
        """
        with self._changed:
            if self._closed:
                return frame
            superseded = self._slots[camera]
            self._slots[camera] = frame
            self._changed.notify()
            return superseded

    def take(self, at_most: int = 1) -> list[tuple[str, Frame]]:
        """Wait for a frame, and take at most so many that wait now: first of the camera served longest ago.

        Returns:
            Cameras with their frames, at least one; none once closed.
        """
        with self._changed:
            while not self._closed:
                taken = [(camera, frame) for camera in self._turns if (frame := self._slots[camera]) is not None]
                taken = taken[:at_most]
                if taken:
                    for camera, _ in taken:
                        self._slots[camera] = None
                        self._turns.remove(camera)
                        self._turns.append(camera)
                    return taken
                self._changed.wait()
            return []

    def clear(self) -> list[tuple[str, Frame]]:
        """Empty the slots; returns the frames that waited, with their cameras."""
        with self._changed:
            waiting = [(camera, frame) for camera, frame in self._slots.items() if frame is not None]
            self._slots = dict.fromkeys(self._slots)
            return waiting

    def close(self) -> list[tuple[str, Frame]]:
        """Wake the taker for the last time; returns the frames that waited, with their cameras."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return self.clear()
