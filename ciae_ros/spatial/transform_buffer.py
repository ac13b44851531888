# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A buffer of the transforms between frames, as /tf and /tf_static publish them, and lookups at a time in it."""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field

from ciae_ros.spatial.rigid_transform import RigidTransform, interpolate

HISTORY = 10.0
"""Seconds of transforms that are kept, as in tf2."""


class NoTransformError(Exception):
    """There is no transform between two frames at a time."""

    def __init__(self, reason: str, may_arrive: bool) -> None:
        super().__init__(reason)
        self.may_arrive = may_arrive
        """Whether a transform that is still to be received can complete it."""


@dataclass
class _Frame:
    """The transforms of a frame to its parent."""

    parent: str
    static: RigidTransform | None = None
    stamps: list[int] = field(default_factory=list)
    """Nanoseconds, ascending."""
    transforms: list[RigidTransform] = field(default_factory=list)


class TransformBuffer:
    """Transforms of frames to their parents over time. Thread-safe.

    A lookup interpolates between the two nearest transforms and never extrapolates: the newest transform instead of the
    one at the image's time would misplace everything while the robot moves.
    """

    def __init__(self, history: float = HISTORY) -> None:
        """Create an empty buffer.

        Args:
            history: seconds before the newest transform of a frame after which its transforms are forgotten.
        """
        self._frames: dict[str, _Frame] = {}
        self._history = round(history * 1e9)
        self._lock = threading.Lock()

    def add(self, parent: str, child: str, stamp: int, transform: RigidTransform, static: bool = False) -> None:
        """Add the transform of coordinates in `child` to those in `parent`.

        Args:
            parent: name of the parent frame; a leading slash, as in ROS 1, is ignored.
            child: name of the frame; it gets this parent from now on.
            stamp: time in nanoseconds; irrelevant for a static transform.
            transform: the transform.
            static: whether it is valid at all times.

        Raises:
            ValueError: a name is empty, or both are equal.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise ValueError(f"a transform of frame {child!r} to its parent {parent!r} is impossible")
        with self._lock:
            frame = self._frames.get(child)
            if frame is None or frame.parent != parent:
                frame = self._frames[child] = _Frame(parent)
            if static:
                frame.static = transform
                return
            frame.static = None
            self._insert(frame, stamp, transform)

    def _insert(self, frame: _Frame, stamp: int, transform: RigidTransform) -> None:
        place = bisect.bisect_left(frame.stamps, stamp)
        if place < len(frame.stamps) and frame.stamps[place] == stamp:
            frame.transforms[place] = transform
            return
        frame.stamps.insert(place, stamp)
        frame.transforms.insert(place, transform)
        outdated = bisect.bisect_left(frame.stamps, frame.stamps[-1] - self._history)
        del frame.stamps[:outdated], frame.transforms[:outdated]

    def clear(self) -> None:
        """Forget the transforms that change over time, as after a backward jump of the clock."""
        with self._lock:
            self._frames = {name: frame for name, frame in self._frames.items() if frame.static is not None}

    def lookup(self, target: str, source: str, stamp: int) -> RigidTransform:
        """Return the transform of coordinates in `source` to those in `target` at a time in nanoseconds.

        Raises:
            NoTransformError: the frames are not connected, or a transform between them is not known at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return RigidTransform()
        with self._lock:
            to_root = self._chain(source, stop=target)
            if to_root[-1] == target:
                return self._along(to_root, stamp)
            from_target = self._chain(target, stop=source)
            known = set(to_root)
            common = next((name for name in from_target if name in known), None)
            if common is None:
                raise NoTransformError(f"the frames {target!r} and {source!r} are not connected", may_arrive=True)
            upwards = self._along(to_root[: to_root.index(common) + 1], stamp)
            downwards = self._along(from_target[: from_target.index(common) + 1], stamp)
        return downwards.inverse() @ upwards

    def lookup_through(
        self, target: str, target_stamp: int, source: str, source_stamp: int, fixed: str
    ) -> RigidTransform:
        """Return the transform of coordinates in `source` at one time to those in `target` at another.

        Args:
            target: frame of the result.
            target_stamp: its time in nanoseconds.
            source: frame of the given coordinates.
            source_stamp: their time in nanoseconds.
            fixed: frame that does not move between the two times.

        Raises:
            NoTransformError: as for `lookup`.
        """
        return self.lookup(target, fixed, target_stamp) @ self.lookup(fixed, source, source_stamp)

    def _chain(self, name: str, stop: str) -> list[str]:
        """Return a frame and its ancestors, up to the root or to `stop`."""
        chain = [name]
        while chain[-1] != stop and (frame := self._frames.get(chain[-1])) is not None:
            if frame.parent in chain:
                raise NoTransformError(f"the frame {frame.parent!r} is its own ancestor", may_arrive=True)
            chain.append(frame.parent)
        return chain

    def _along(self, chain: list[str], stamp: int) -> RigidTransform:
        """Return the transform from the first frame of a chain of ancestors to the last one."""
        result = RigidTransform()
        for name in chain[:-1]:
            result = _at(name, self._frames[name], stamp) @ result
        return result


def _at(name: str, frame: _Frame, stamp: int) -> RigidTransform:
    if frame.static is not None:
        return frame.static
    place = bisect.bisect_left(frame.stamps, stamp)
    if place < len(frame.stamps) and frame.stamps[place] == stamp:
        return frame.transforms[place]
    link = f"the transform of {name!r} to {frame.parent!r}"
    if place == len(frame.stamps):
        late = (stamp - frame.stamps[-1]) / 1e9
        raise NoTransformError(f"{link} is known only until {late:.3f} s before the image", may_arrive=True)
    if place == 0:
        early = (frame.stamps[0] - stamp) / 1e9
        raise NoTransformError(f"{link} is known only from {early:.3f} s after the image", may_arrive=False)
    before, after = frame.stamps[place - 1], frame.stamps[place]
    share = (stamp - before) / (after - before)
    return interpolate(frame.transforms[place - 1], frame.transforms[place], share)
