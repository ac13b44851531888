# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The values that the node and its image player report on /diagnostics, typed, and as the strings of the messages.

Nothing else formats or parses these strings. Needs no ROS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field

DROPPED, QOS = "dropped, ", "QoS, "
"""Prefixes of the keys of drop counters by reason, and of QoS events by kind."""
RATE_IN, RATE_OUT, OVER_BUDGET = "rate in [1/s]", "rate out [1/s]", "over latency budget"
STAGE = " p50 p90 p99 mean [ms]"
"""Suffix of the keys of stage times."""
MODEL_DIGEST, DEVICE_MEMORY, MAX_BATCH = "model digest", "device memory [MiB]", "images at once"
EXECUTION = "execution"
NO_MEMORY = "none"
"""Device memory of a node on a CPU."""


@dataclass(frozen=True)
class StageSummary:
    """Times of a stage in seconds. Means of disjoint stages add up to the mean of the frame; percentiles do not."""

    p50: float
    p90: float
    p99: float
    mean: float


@dataclass(frozen=True)
class CameraDiagnostics:
    """Counters, rates and stage times of one camera."""

    topic: str
    received: int
    segmented: int
    unfinished: int
    """Received, but neither segmented nor dropped yet."""
    dropped: Mapping[str, int]
    """Number of dropped images by reason."""
    over_budget: int
    """Results that took longer than the latency budget."""
    events: Mapping[str, int]
    """Number of QoS events by kind."""
    rate_in: float
    """Received images per second."""
    rate_out: float
    """Results per second."""
    stages: Mapping[str, StageSummary] = field(default_factory=dict)
    """Times by stage; "frame" is their total."""

    def to_values(self) -> dict[str, str]:
        """Return the keys and values of the diagnostic status."""
        return self._values("segmented")

    def to_values_in_3d(self) -> dict[str, str]:
        """Return the keys and values of the diagnostic status of panoptic_3d, whose frames are labelled images."""
        return self._values("published")

    def _values(self, result: str) -> dict[str, str]:
        """Return the keys and values; `result` is what happens to a frame that is not dropped."""
        values = {
            "topic": self.topic,
            "received": str(self.received),
            result: str(self.segmented),
            "unfinished": str(self.unfinished),
        }
        values |= {f"{DROPPED}{reason}": str(count) for reason, count in sorted(self.dropped.items())}
        values |= {OVER_BUDGET: str(self.over_budget)}
        values |= {f"{QOS}{kind}": str(count) for kind, count in sorted(self.events.items())}
        values |= {RATE_IN: f"{self.rate_in:.2f}", RATE_OUT: f"{self.rate_out:.2f}"}
        for stage, summary in self.stages.items():
            values[f"{stage}{STAGE}"] = " ".join(f"{1e3 * seconds:.2f}" for seconds in astuple(summary))
        return values

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> CameraDiagnostics | None:
        """Parse the keys and values of a diagnostic status; None if they are not those of a camera."""
        if not {"topic", "segmented", "unfinished"} <= values.keys():
            return None
        return cls(
            topic=values["topic"],
            received=int(values["received"]),
            segmented=int(values["segmented"]),
            unfinished=int(values["unfinished"]),
            dropped=_counts(values, DROPPED),
            over_budget=int(values[OVER_BUDGET]),
            events=_counts(values, QOS),
            rate_in=float(values[RATE_IN]),
            rate_out=float(values[RATE_OUT]),
            stages={
                key.removesuffix(STAGE): StageSummary(*(1e-3 * float(time) for time in times.split()))
                for key, times in values.items()
                if key.endswith(STAGE)
            },
        )


@dataclass(frozen=True)
class NodeDiagnostics:
    """State and model of the node."""

    state: str
    """Lifecycle state."""
    model: str = ""
    """Name of the model; this and the following fields are set only while a model is loaded."""
    digest: str = ""
    device: str = ""
    precision: str = ""
    device_memory: int | None = None
    """Memory reserved on a CUDA device in bytes; None on a CPU."""
    max_batch: int = 0
    """Maximum number of images in a batch."""
    execution: str = ""
    """Why this runtime and precision were chosen; empty if the parameters left no choice."""

    def to_values(self) -> dict[str, str]:
        """Return the keys and values of the diagnostic status."""
        values = {"state": self.state}
        if self.model:
            memory = NO_MEMORY if self.device_memory is None else f"{self.device_memory / 2**20:.0f}"
            values |= {"model": self.model, MODEL_DIGEST: self.digest}
            values |= {"device": self.device, "precision": self.precision}
            values |= {EXECUTION: self.execution} if self.execution else {}
            values |= {DEVICE_MEMORY: memory, MAX_BATCH: str(self.max_batch)}
        return values

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> NodeDiagnostics | None:
        """Parse the keys and values of a diagnostic status; None if they are not those of a node."""
        if "state" not in values:
            return None
        memory = values.get(DEVICE_MEMORY, NO_MEMORY)
        return cls(
            state=values["state"],
            model=values.get("model", ""),
            digest=values.get(MODEL_DIGEST, ""),
            device=values.get("device", ""),
            precision=values.get("precision", ""),
            execution=values.get(EXECUTION, ""),
            device_memory=None if memory == NO_MEMORY else int(memory) * 2**20,
            max_batch=int(values.get(MAX_BATCH, "0")),
        )


@dataclass(frozen=True)
class PlayerDiagnostics:
    """Progress of the image player, reported when it has finished."""

    published: int
    """Number of published images."""

    def to_values(self) -> dict[str, str]:
        """Return the keys and values of the diagnostic status."""
        return {"published": str(self.published)}

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> PlayerDiagnostics | None:
        """Parse the keys and values of a diagnostic status; None if they are not those of a player."""
        return cls(int(values["published"])) if "published" in values else None


def _counts(values: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): int(count) for key, count in values.items() if key.startswith(prefix)}
