# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The first screen of a report: description and summary of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ciae_ros.replay.bags.types import NO_RESPONSE
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.report.formatting import MISSING, count, duration, mebibytes, milliseconds, number, percent
from ciae_ros.replay.report.page import Fact, Tile

NAMED = 6
"""Maximum number of bags named on the first screen."""


def subtitle(run: EvaluationRun) -> str:
    """Describe the run in one line: frames, bags and device."""
    bags = run.metadata.get("bags", [])
    how = "through the node" if run.metadata.get("kind") == "node" else "frame by frame"
    frames = f"{count(len(run.frames), 'frame')} from {count(len(bags), 'bag')}"
    return f"{frames}, {how}, on {run.metadata.get('device', 'an unknown device')}"


def facts(run: EvaluationRun) -> tuple[Fact, ...]:
    """Return the facts about the run."""
    metadata = run.metadata
    names = [str(bag["name"]) for bag in metadata.get("bags", [])]
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    answered = int((run.frames["problem"] == "").sum())
    found = [
        ("Model", model_name(metadata)),
        ("Device", str(metadata.get("device", MISSING))),
        ("Bags", ", ".join(names[:NAMED]) + rest or "none"),
        ("Frames", f"{number(len(run.frames))}, {number(answered)} of them with a result"),
        ("Ground truth", ground_truth(metadata) or "none"),
        ("Made", str(metadata.get("created", MISSING))),
        ("Took", duration(float(metadata.get("seconds", math.nan)))),
        (
            "Peak memory",
            mebibytes(float(metadata.get("peak_memory") or math.nan)) if metadata.get("peak_memory") else MISSING,
        ),
    ]
    if metadata.get("rate"):
        found.append(("Playback", f"{metadata['rate']} times the recorded rate"))
    return tuple(Fact(name, value) for name, value in found)


def title(metadata: Mapping[str, Any]) -> str:
    """Return the name of the model."""
    return str(metadata.get("model", {}).get("name", "unknown model"))


def model_name(metadata: Mapping[str, Any]) -> str:
    """Return the name of the model with the beginning of its hash."""
    digest = str(metadata.get("model", {}).get("hash") or "")
    return title(metadata) + (f" ({digest[:12]})" if digest else "")


def ground_truth(metadata: Mapping[str, Any]) -> str:
    """Return the ground truth as specified in the command; empty if none."""
    return str(metadata.get("ground_truth") or "")


def details(run: EvaluationRun) -> tuple[Fact, ...]:
    """Return everything that is needed to reproduce the run."""
    metadata = run.metadata
    found = [Fact("Command", str(metadata.get("command", MISSING)))]
    found += [Fact("Model's hash", str(metadata.get("model", {}).get("hash") or MISSING))]
    found += [
        Fact("Settings", _pairs(metadata.get("settings", {}))),
        Fact("Versions", _pairs(metadata.get("versions", {}))),
    ]
    found += [Fact("Note", note) for note in metadata.get("notes", [])]
    for bag in metadata.get("bags", []):
        topics = ", ".join(f"{topic} ({count(messages, 'message')})" for topic, messages in bag["topics"].items())
        found.append(Fact(f"Bag {bag['name']}", f"{bag['path']}: {topics or 'no topics'}"))
    return tuple(found)


def problems(run: EvaluationRun) -> tuple[str, ...]:
    """Return the problems of the run, and the number of unusable messages."""
    found = [str(problem) for problem in run.metadata.get("problems", [])]
    # Missing responses of the node are not faults of the bag; the section on drops lists them.
    broken = run.frames[~run.frames["problem"].isin(["", NO_RESPONSE])]
    for (bag, kind), frames in broken.groupby(["bag", "problem"], sort=False):
        found.append(f"{bag}: {count(len(frames), 'frame')} without a result: {kind}")
    return tuple(found)


def tiles(summary: Mapping[str, float], frames: pd.DataFrame) -> tuple[Tile, ...]:
    """Return the summary tiles: quality with or without ground truth, and speed."""
    quality = _scored(summary) if not math.isnan(summary["pq"]) else _unscored(summary, frames)
    missing = int((frames["problem"] != "").sum())
    return (
        *quality,
        Tile(
            "Latency p50", milliseconds(summary["latency_p50"]), "ms", f"p90 {milliseconds(summary['latency_p90'])} ms"
        ),
        Tile("Latency p99", milliseconds(summary["latency_p99"]), "ms"),
        Tile("Frames/s", number(summary["fps"], 1)),
        Tile("Dropped", percent(summary["dropped"]), "%", f"{number(missing)} of {number(len(frames))} have no result"),
    )


def _scored(summary: Mapping[str, float]) -> tuple[Tile, ...]:
    return (
        Tile("PQ", number(summary["pq"], 1), "%", f"SQ {number(summary['sq'], 1)} · RQ {number(summary['rq'], 1)}"),
        Tile("PQ things", number(summary["pq_things"], 1), "%", "objects"),
        Tile("PQ stuff", number(summary["pq_stuff"], 1), "%", "regions"),
        Tile("mIoU", number(summary["miou"], 1), "%", "pixels' classes"),
        *_tracked(summary),
    )


def _tracked(summary: Mapping[str, float]) -> tuple[Tile, ...]:
    if math.isnan(summary["hota"]):
        return ()
    switches = int(summary["switches"])
    return (
        Tile("STQ", number(summary["stq"], 1), "%", f"AQ {number(summary['aq'], 1)} · VPQ {number(summary['vpq'], 1)}"),
        Tile("HOTA", number(summary["hota"], 1), "%", f"{number(switches)} identity switches"),
    )


def _unscored(summary: Mapping[str, float], frames: pd.DataFrame) -> tuple[Tile, ...]:
    answered = frames[frames["problem"] == ""]
    segments, things = (float(answered[name].mean()) for name in ("segments", "things"))
    return (
        Tile("Temporal change", percent(summary["changed"]), "%", "pixels that change class"),
        Tile("Unlabelled", percent(summary["unlabelled"]), "%", "of the pixels"),
        Tile("Segments", number(segments, 1), "per frame", f"{number(things, 1)} things"),
    )


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items()) or MISSING
