# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Plan of an evaluation: the topics of the bags, divided into shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.image_topics import choose_topics, describe_unread
from ciae_ros.replay.bags.types import BagError
from ciae_ros.replay.evaluation.shards import SHARD_FRAMES, Shard, split_into_shards


@dataclass(frozen=True)
class EvaluationPlan:
    """Shards in the order of the bags and their topics."""

    shards: list[Shard] = field(default_factory=list)
    bags: list[dict[str, Any]] = field(default_factory=list)
    """Descriptions of the bags for run.json."""
    problems: list[str] = field(default_factory=list)
    """Bags and topics that are skipped, one line each."""
    notes: list[str] = field(default_factory=list)
    """Topics that are not meant to be evaluated, one line for each reason."""

    @property
    def frames(self) -> int:
        """Total number of frames."""
        return sum(shard.stop - shard.start for shard in self.shards)


def make_plan(
    paths: Sequence[Path], topics: Sequence[str] | None = None, shard_frames: int = SHARD_FRAMES
) -> EvaluationPlan:
    """Inspect the bags and plan their evaluation.

    Args:
        paths: paths of the bags; a bag that cannot be read becomes a problem of the plan.
        topics: image topics; None for all that a camera may have published.
        shard_frames: number of frames of a shard.
    """
    plan = EvaluationPlan()
    chosen = []
    for path, name in zip(paths, _unique_names(paths), strict=True):
        try:
            with open_bag(path) as bag:
                chosen.append(choose_topics(bag, topics))
                _add(plan, bag, name, chosen[-1].topics, shard_frames)
        except BagError as error:
            plan.problems.append(str(error))
    for topic in topics or ():
        if plan.bags and not any(topic in entry["topics"] for entry in plan.bags):
            plan.problems.append(f"no bag has images on {topic}")
    plan.notes.extend(describe_unread(chosen))
    return plan


def _add(plan: EvaluationPlan, bag: Bag, name: str, topics: Sequence[str], shard_frames: int) -> None:
    for topic in topics:
        plan.shards.extend(split_into_shards(bag.path, name, topic, bag.topics[topic].count, shard_frames))
    counts = {topic: bag.topics[topic].count for topic in topics}
    plan.bags.append({"name": name, "path": str(bag.path), "topics": counts})


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each bag, preceded by as many parent folders as make it unique."""
    names = []
    for path in (path.resolve() for path in paths):
        others = [other.resolve() for other in paths if other.resolve() != path]
        parts = [*path.parts[:-1], path.stem if path.is_file() else path.name]
        length = 1
        while length < len(parts) and any(_tail(other, length) == parts[-length:] for other in others):
            length += 1
        names.append("/".join(parts[-length:]))
    return names


def _tail(path: Path, length: int) -> list[str]:
    return [*path.parts[:-1], path.stem if path.is_file() else path.name][-length:]
