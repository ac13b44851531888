"""What the node counts and measures, and how it tells on /diagnostics."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, fields

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

FRAMES_REMEMBERED = 200
"""Stage times are those of this many last frames."""


@dataclass(frozen=True)
class FrameTimes:
    """Seconds that one frame spent in each stage, from its arrival in the node to its last published message."""

    wait: float
    convert: float
    preprocess: float
    network: float
    proposals: float
    fusing: float
    download: float
    message: float
    publish: float


class FrameStatistics:
    """Counts of frames and times of stages; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segmented = 0
        self._dropped: Counter[str] = Counter()
        self._times: deque[FrameTimes] = deque(maxlen=FRAMES_REMEMBERED)

    def count_segmented(self, times: FrameTimes) -> None:
        with self._lock:
            self._segmented += 1
            self._times.append(times)

    def count_dropped(self, reason: str) -> bool:
        """Count a dropped frame; True if it is the first with this reason."""
        with self._lock:
            self._dropped[reason] += 1
            return self._dropped[reason] == 1

    @property
    def segmented(self) -> int:
        return self._segmented

    def dropped(self) -> dict[str, int]:
        """Number of frames by reason, without those that the scheduler dropped."""
        with self._lock:
            return dict(self._dropped)

    def median_times(self) -> dict[str, float]:
        """Median seconds by stage; empty before the first frame."""
        with self._lock:
            times = list(self._times)
        if not times:
            return {}
        return {f.name: float(np.median([getattr(t, f.name) for t in times])) for f in fields(FrameTimes)}


def diagnostic_array(stamp: Time, name: str, message: str, values: dict[str, object]) -> DiagnosticArray:
    """One status at level OK, as diagnostic tools show it."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    status = DiagnosticStatus(level=DiagnosticStatus.OK, name=name, message=message, values=pairs)
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])
