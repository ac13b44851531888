# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What was run, and what came out, for the first screen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ciae_ros.replay.report.formatting import MISSING, count, duration, mebibytes, milliseconds, number, percent
from ciae_ros.replay.report.page import Fact, Tile
from ciae_ros.replay.types import NO_ANSWER, Run

NAMED = 6
"""Bags that the first screen names."""


def subtitle(run: Run) -> str:
    """The run in a line: how many frames of what, on which device."""
    bags = run.about.get("bags", [])
    how = "through the node" if run.about.get("kind") == "node" else "frame by frame"
    frames = f"{count(len(run.frames), 'frame')} from {count(len(bags), 'bag')}"
    return f"{frames}, {how}, on {run.about.get('device', 'an unknown device')}"


def facts(run: Run) -> tuple[Fact, ...]:
    """What was run."""
    about = run.about
    names = [str(bag["name"]) for bag in about.get("bags", [])]
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    answered = int((run.frames["problem"] == "").sum())
    found = [
        ("Model", model_name(about)),
        ("Device", str(about.get("device", MISSING))),
        ("Bags", ", ".join(names[:NAMED]) + rest or "none"),
        ("Frames", f"{number(len(run.frames))}, {number(answered)} of them with a result"),
        ("Ground truth", ground_truth(about) or "none"),
        ("Made", str(about.get("created", MISSING))),
        ("Took", duration(float(about.get("seconds", math.nan)))),
        (
            "Peak memory",
            mebibytes(float(about.get("peak_memory") or math.nan)) if about.get("peak_memory") else MISSING,
        ),
    ]
    if about.get("rate"):
        found.append(("Playback", f"{about['rate']} times the recorded rate"))
    return tuple(Fact(name, value) for name, value in found)


def title(about: Mapping[str, Any]) -> str:
    """The model's name."""
    return str(about.get("model", {}).get("name", "unknown model"))


def model_name(about: Mapping[str, Any]) -> str:
    """With the beginning of its hash."""
    digest = str(about.get("model", {}).get("hash") or "")
    return title(about) + (f" ({digest[:12]})" if digest else "")


def ground_truth(about: Mapping[str, Any]) -> str:
    """Where it is, as the command was told; empty if it was told nothing."""
    return str(about.get("ground_truth") or "")


def details(run: Run) -> tuple[Fact, ...]:
    """Everything that is needed to make the run again."""
    about = run.about
    found = [Fact("Command", str(about.get("command", MISSING)))]
    found += [Fact("Model's hash", str(about.get("model", {}).get("hash") or MISSING))]
    found += [Fact("Settings", _pairs(about.get("settings", {}))), Fact("Versions", _pairs(about.get("versions", {})))]
    for bag in about.get("bags", []):
        topics = ", ".join(f"{topic} ({count(messages, 'message')})" for topic, messages in bag["topics"].items())
        found.append(Fact(f"Bag {bag['name']}", f"{bag['path']}: {topics or 'no topics'}"))
    return tuple(found)


def problems(run: Run) -> tuple[str, ...]:
    """Of the run, and how many messages were no usable images."""
    found = [str(problem) for problem in run.about.get("problems", [])]
    # What the node did not answer is no fault of the bag; the section on drops has it.
    broken = run.frames[~run.frames["problem"].isin(["", NO_ANSWER])]
    for (bag, kind), frames in broken.groupby(["bag", "problem"], sort=False):
        found.append(f"{bag}: {count(len(frames), 'frame')} without a result: {kind}")
    return tuple(found)


def tiles(figures: Mapping[str, float], frames: pd.DataFrame) -> tuple[Tile, ...]:
    """The verdict: quality where there is truth, what can be said without it otherwise, and speed."""
    quality = _scored(figures) if not math.isnan(figures["pq"]) else _unscored(figures, frames)
    missing = int((frames["problem"] != "").sum())
    return (
        *quality,
        Tile(
            "Latency p50", milliseconds(figures["latency_p50"]), "ms", f"p90 {milliseconds(figures['latency_p90'])} ms"
        ),
        Tile("Latency p99", milliseconds(figures["latency_p99"]), "ms"),
        Tile("Frames/s", number(figures["fps"], 1)),
        Tile("Dropped", percent(figures["dropped"]), "%", f"{number(missing)} of {number(len(frames))} have no result"),
    )


def _scored(figures: Mapping[str, float]) -> tuple[Tile, ...]:
    return (
        Tile("PQ", number(figures["pq"], 1), "%", f"SQ {number(figures['sq'], 1)} · RQ {number(figures['rq'], 1)}"),
        Tile("PQ things", number(figures["pq_things"], 1), "%", "objects"),
        Tile("PQ stuff", number(figures["pq_stuff"], 1), "%", "regions"),
        Tile("mIoU", number(figures["miou"], 1), "%", "pixels' classes"),
    )


def _unscored(figures: Mapping[str, float], frames: pd.DataFrame) -> tuple[Tile, ...]:
    answered = frames[frames["problem"] == ""]
    segments, things = (float(answered[name].mean()) for name in ("segments", "things"))
    return (
        Tile("Temporal change", percent(figures["changed"]), "%", "pixels that change class"),
        Tile("Unlabelled", percent(figures["unlabelled"]), "%", "of the pixels"),
        Tile("Segments", number(segments, 1), "per frame", f"{number(things, 1)} things"),
    )


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items()) or MISSING
