"""The newest frame of every camera, handed out fairly; whatever is older is dropped and counted."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Generic, TypeVar

Frame = TypeVar("Frame")

SUPERSEDED = "superseded"
"""Reason of a drop: a newer frame of the same camera came before this one's turn."""


class FrameScheduler(Generic[Frame]):
    """One slot per camera. Any thread may put; one thread takes."""

    def __init__(self, cameras: list[str]) -> None:
        self._slots: dict[str, Frame | None] = dict.fromkeys(cameras)
        self._turns = list(cameras)
        self._changed = threading.Condition()
        self._closed = False
        self.received: Counter[str] = Counter()
        """Frames put, by camera."""
        self.dropped: Counter[str] = Counter()
        """Frames dropped here because they were superseded, by camera."""

    def put(self, camera: str, frame: Frame) -> None:
        """Store a camera's newest frame in place of one that still waits. After `close`, the frame is forgotten."""
        with self._changed:
            if self._closed:
                return
            self.received[camera] += 1
            self.dropped[camera] += self._slots[camera] is not None
            self._slots[camera] = frame
            self._changed.notify()

    def take(self) -> tuple[str, Frame] | None:
        """Wait for a frame: of the cameras with one, the camera served longest ago. None once closed."""
        with self._changed:
            while not self._closed:
                for camera in self._turns:
                    frame = self._slots[camera]
                    if frame is not None:
                        self._slots[camera] = None
                        self._turns.remove(camera)
                        self._turns.append(camera)
                        return camera, frame
                self._changed.wait()
            return None

    def close(self) -> None:
        """Wake the taker and let go of all frames that wait."""
        with self._changed:
            self._closed = True
            for camera, frame in self._slots.items():
                self.dropped[camera] += frame is not None
                self._slots[camera] = None
            self._changed.notify_all()
