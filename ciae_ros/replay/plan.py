# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a run will do: which topics of which bags, in which pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.definitions import SEGMENTS
from ciae_ros.replay.types import BagError
from ciae_ros.replay.units import UNIT_FRAMES, Unit, units_of

RESULTS = ("labels", "overlay", "semantic")
"""Image topics beside a topic of segments: what a node made of camera images."""


@dataclass(frozen=True)
class Plan:
    """Units in the order of the bags and their topics."""

    units: list[Unit] = field(default_factory=list)
    bags: list[dict[str, Any]] = field(default_factory=list)
    """As run.json lists them."""
    problems: list[str] = field(default_factory=list)
    """Bags and topics that are left out, a line each."""

    @property
    def frames(self) -> int:
        """Of all units."""
        return sum(unit.stop - unit.start for unit in self.units)


def make_plan(paths: Sequence[Path], topics: Sequence[str] | None = None, unit_frames: int = UNIT_FRAMES) -> Plan:
    """Look into the bags.

    Args:
        paths: of bags; one that cannot be read becomes a problem of the plan.
        topics: of images, in whichever bags have them; None for all that a camera may have sent.
        unit_frames: of each unit.
    """
    plan = Plan()
    for path, name in zip(paths, _unique_names(paths), strict=True):
        try:
            with open_bag(path) as bag:
                _add(plan, bag, path, name, topics, unit_frames)
        except BagError as error:
            plan.problems.append(str(error))
    for topic in topics or ():
        if plan.bags and not any(topic in entry["topics"] for entry in plan.bags):
            plan.problems.append(f"no bag has images on {topic}")
    return plan


def camera_topics(bag: Bag) -> list[str]:
    """The bag's image topics without those that a node has published, and without second forms of the same images."""
    images = bag.image_topics()
    namespaces = [topic.rpartition("/")[0] for topic, info in bag.topics.items() if info.type == SEGMENTS]
    results = {f"{namespace}/{result}" for namespace in namespaces for result in RESULTS}
    return [
        topic
        for topic in images
        if not any(topic == result or topic.startswith(f"{result}/") for result in results)
        and not (topic.endswith(COMPRESSED_SUFFIX) and topic.removesuffix(COMPRESSED_SUFFIX) in images)
    ]


def _add(plan: Plan, bag: Bag, path: Path, name: str, topics: Sequence[str] | None, unit_frames: int) -> None:
    found = camera_topics(bag)
    chosen = found if topics is None else [topic for topic in topics if topic in bag.image_topics()]
    if not chosen:
        wanted = "images" if topics is None else f"images on {' or '.join(topics)}"
        there = ", ".join(f"{topic} ({info.type})" for topic, info in bag.topics.items()) or "none"
        plan.problems.append(f"{path} has no {wanted}; its topics: {there}")
        return
    for topic in chosen:
        plan.units.extend(units_of(path, name, topic, bag.topics[topic].count, unit_frames))
    counts = {topic: bag.topics[topic].count for topic in chosen}
    plan.bags.append({"name": name, "path": str(path), "topics": counts})


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Each bag's own name, with as much of its folder before it as tells it from the others."""
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
