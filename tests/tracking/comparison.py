# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Comparison of trackers on the true objects of the BDD100K MOTS sample, as a table in Markdown.

Type `pip install trackers` in an environment of its own, and `python -m tests.tracking.comparison` in it for the table
with those of the package `trackers` (Apache-2.0), which need other versions of packages than ciae_ros.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path

import motrics
import numpy as np

from ciae_ros.core.result import PanopticResult
from ciae_ros.tracking import association
from ciae_ros.tracking.tracker import Tracker
from tests.tracking.bdd100k import PERIOD, read_sample, without_ids
from tests.tracking.frames import track_ids

DATA = Path(__file__).parents[3] / "shared" / "data"
NAMES = ("SORT", "OCSORT", "BoTSORT", "CBIoU", "ByteTrack")

Track = Callable[[PanopticResult, float], list[int]]
"""Returns the ids of the things of a frame at a time in seconds; 0 for those without one."""


def this_tracker() -> Track:
    """Return the tracker of this package."""
    tracker = Tracker()
    return lambda result, stamp: track_ids(tracker.update(result, stamp))


def without_masks() -> Track:
    """Return the tracker of this package without the overlap of masks."""
    tracker = Tracker()

    def track(result: PanopticResult, stamp: float) -> list[int]:
        compare = association.affinity
        tracker_module = import_module("ciae_ros.tracking.tracker")
        tracker_module.affinity = lambda one: compare(one._replace(overlap=np.zeros_like(one.overlap)))
        try:
            return track_ids(tracker.update(result, stamp))
        finally:
            tracker_module.affinity = compare

    return track


def other_tracker(name: str) -> Track:
    """Return a tracker of boxes of the package `trackers`, at its defaults for 5 frames per second."""
    import supervision  # noqa: PLC0415

    options = {"enable_cmc": False} if name == "BoTSORT" else {}
    tracker = getattr(import_module("trackers"), f"{name}Tracker")(frame_rate=1 / PERIOD, **options)

    def track(result: PanopticResult, stamp: float) -> list[int]:
        things = [one for one in result.segments if one.category.is_thing]
        x, y, width, height = np.array([one.box for one in things], float).reshape(-1, 4).T
        detections = supervision.Detections(
            xyxy=np.stack((x, y, x + width, y + height), axis=1),
            confidence=np.full(len(things), 0.99, np.float32),
            class_id=np.array([one.category.id for one in things], int),
            data={"number": np.arange(len(things))},
        )
        found = tracker.update(detections)
        ids = [0] * len(things)
        for number, track_id in zip(found.data["number"], found.tracker_id, strict=True):
            ids[number] = max(0, int(track_id) + 1)
        return ids

    return track


def row(name: str, track: Track, results: Sequence[PanopticResult]) -> str:
    """Track the results, which have the true ids, and return a row of the table."""
    true, found, matches, seconds = [], [], [], []
    for number, result in enumerate(results):
        start = time.perf_counter()
        ids = track(without_ids(result), PERIOD * number)
        seconds.append(time.perf_counter() - start)
        known = [place for place, one in enumerate(ids) if one]
        true.append(track_ids(result))
        found.append([ids[place] for place in known])
        matches.append(np.eye(len(ids))[:, known].tolist())
    arguments = true, found, matches
    hota, clear = motrics.compute_hota_from_similarity(*arguments), motrics.compute_clear_from_similarity(*arguments)
    idf1 = motrics.compute_identity_from_similarity(*arguments).idf1
    missing = sum(map(len, true)) - sum(map(len, found))
    return (
        f"| {name} | {hota.hota:.3f} | {hota.assa:.3f} | {clear.mota:.3f} | {idf1:.3f} | {clear.num_switches} | "
        f"{missing} | {1e3 * np.median(seconds):.2f} |"
    )


def main() -> None:
    """Print the table."""
    results = read_sample(DATA).truth
    print("| tracker | HOTA | AssA | MOTA | IDF1 | switches | without an id | ms per frame |\n" + "|---" * 8 + "|")
    print(row("this package", this_tracker(), results))
    print(row("this package, boxes only", without_masks(), results))
    try:
        version = metadata.version("trackers")
    except metadata.PackageNotFoundError:
        print("\nThe package trackers is not installed.")
        return
    for name in NAMES:
        print(row(f"{name} (trackers {version})", other_tracker(name), results))


if __name__ == "__main__":
    main()
