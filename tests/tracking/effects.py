# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What query embeddings and the motion of the camera add to tracking: `python -m tests.tracking.effects MODEL`.

The model, which was trained on rendered streets (`tests.rendering.street_data`), segments the crossing at 20 frames per
second; the tracker gets all of its results or some of them, with and without queries and images.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import motrics
import numpy as np

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference import Predictor, load_model
from ciae_ros.tracking.tracker import Tracker
from tests.rendering.crossing import CROSSING, turning_camera
from tests.rendering.drive import Drive, RenderedFrame

SECONDS, RATE = 8.0, 20
STEPS = (1, 2, 4, 8)
MIN_PIXELS = 60
"""Number of visible pixels from which on an object is true."""
MIN_SHARE = 0.3
"""Share of a thing's pixels that are on objects; others are false detections, which say nothing about ids."""

Frames = list[tuple[RenderedFrame, PanopticResult]]


def segmented(model: str) -> Frames:
    """Render and segment the frames."""
    predictor = Predictor(load_model(model))
    with Drive(480, 640, CROSSING, turning_camera) as drive:
        frames = drive.frames(np.arange(0, SECONDS, 1 / RATE))
        return [(frame, predictor.predict(frame.image, "bgr")) for frame in frames]


def overlaps(frame: RenderedFrame, result: PanopticResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the common pixels (objects + 1, segments + 1) and their IoU."""
    rows, columns = len(frame.moving) + 1, len(result.segments) + 1
    joint = frame.objects.astype(np.int64) * columns + result.label_map
    common = np.bincount(joint.ravel(), minlength=rows * columns).reshape(rows, columns)
    union = common.sum(axis=1, keepdims=True) + common.sum(axis=0) - common
    return common, common / np.maximum(union, 1)


def scores(frames: Frames, *, queries: bool, images: bool) -> tuple[float, float, float, int]:
    """Return HOTA, AssA, IDF1 and identity switches."""
    tracker, true, found, similarity = Tracker(), [], [], []
    for frame, result in frames:
        segments = result.segments if queries else tuple(replace(one, query=None) for one in result.segments)
        given = PanopticResult(result.label_map, segments)
        tracked = tracker.update(given, frame.time, frame.image if images else None)
        common, iou = overlaps(frame, result)
        numbers = [one for one in range(1, len(common)) if common[one].sum() >= MIN_PIXELS]
        share = common[1:].sum(axis=0) / np.maximum(common.sum(axis=0), 1)
        things = [one for one in tracked.segments if one.category.is_thing and share[one.id] > MIN_SHARE]
        true.append(numbers)
        found.append([one.track_id for one in things])
        similarity.append(iou[np.ix_(numbers, [one.id for one in things])].tolist())
    hota = motrics.compute_hota_from_similarity(true, found, similarity)
    switches = motrics.compute_clear_from_similarity(true, found, similarity).num_switches
    return hota.hota, hota.assa, motrics.compute_identity_from_similarity(true, found, similarity).idf1, switches


def query_statistics(frames: Frames, gap: int) -> str:
    """Return how well queries tell whether two things of a category, `gap` frames apart, are the same object."""
    seen = []
    for frame, result in frames:
        _, iou = overlaps(frame, result)
        best = iou[1:, 1:].argmax(axis=1)
        pairs = zip(range(1, len(iou)), iou[1:, 1:].max(axis=1), best, strict=True)
        seen.append([(number, result.segments[place]) for number, value, place in pairs if value > 0.5])
    same, other = [], []
    for before, after in zip(seen[:-gap], seen[gap:], strict=True):
        for (number, one), (further, another) in product(before, after):
            if one.category == another.category:
                (same if number == further else other).append(1 - float(one.query @ another.query))
    auc = np.mean(np.array(same)[:, None] < np.array(other))
    return f"| {gap / RATE:.2f} s | {np.median(same):.3f} | {np.median(other):.3f} | {auc:.2f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    frames = segmented(parser.parse_args().model)
    print(
        "| frames per second | queries | camera motion | HOTA | AssA | IDF1 | switches |\n|---|---|---|---|---|---|---|"
    )
    for step, images, queries in product(STEPS, (True, False), (True, False)):
        parts = [scores(frames[offset::step], queries=queries, images=images) for offset in range(step)]
        hota, assa, idf1, switches = np.mean(parts, axis=0)
        choice = "yes" if queries else "no", "yes" if images else "no"
        print(f"| {RATE / step:g} | {' | '.join(choice)} | {hota:.3f} | {assa:.3f} | {idf1:.3f} | {switches:.1f} |")
    print("\n| apart | 1 - cosine, same object | other object | AUC |\n|---|---|---|---|")
    for gap in (1, 4, 10, 20, 40):
        print(query_statistics(frames, gap))


if __name__ == "__main__":
    main()
