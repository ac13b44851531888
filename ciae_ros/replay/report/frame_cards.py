# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frame cards: frames with their images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.replay.bags.types import FrameKey
from ciae_ros.replay.report.anchors import frame_title
from ciae_ros.replay.report.data_uris import label_uri, photo_uri
from ciae_ros.replay.report.formatting import count, milliseconds, number, percent
from ciae_ros.replay.report.frame_images import FrameImages, FrameImageSource
from ciae_ros.replay.report.page import FrameCard, Picture


def cards(
    frames: pd.DataFrame, rows: list[int], pictures: FrameImageSource, *, several_topics: bool
) -> dict[int, FrameCard]:
    """Return frame cards by row; frames that cannot be read are omitted."""
    result = {}
    for row in rows:
        frame = frames.loc[row].to_dict()
        found = pictures.images(key_of(frame))
        if found is not None:
            shown, facts = run_images(found), facts_of(frame)
            result[row] = frame_card(f"frame-{row}", frame, shown, several_topics=several_topics, facts=facts)
    return result


def key_of(frame: dict[Any, Any]) -> FrameKey:
    """Return the key of a row of the frame table."""
    return FrameKey(str(frame["bag"]), str(frame["topic"]), int(frame["index"]))


def run_images(found: FrameImages) -> tuple[Picture, ...]:
    """Return the images of one run."""
    result = [Picture("image", "Image", photo_uri(found.image))]
    for kind, image in (("truth", found.truth), ("prediction", found.prediction), ("error", found.error)):
        if image is not None:
            result.append(Picture(kind, kind.capitalize(), label_uri(image)))
    return tuple(result)


def compared_images(a: FrameImages, b: FrameImages) -> tuple[Picture, ...]:
    """Return the images of two runs, which share image and ground truth."""
    of_a, of_b = ({picture.kind: picture for picture in run_images(found)} for found in (a, b))
    result = [of_a[kind] for kind in ("image", "truth") if kind in of_a]
    for kind, label in (("prediction", ""), ("error", "Error ")):
        for name, found in (("A", of_a), ("B", of_b)):
            if kind in found:
                result.append(Picture(f"{kind}-{name.lower()}", f"{label}{name}", found[kind].uri))
    return tuple(result)


def frame_card(
    anchor: str, frame: dict[Any, Any], pictures: tuple[Picture, ...], *, several_topics: bool, facts: str
) -> FrameCard:
    """Create a card that first shows the prediction next to ground truth or image, or the two predictions."""
    kinds = {picture.kind for picture in pictures}
    left, right = "truth" if "truth" in kinds else "image", "prediction"
    if "prediction-a" in kinds:
        left, right = "prediction-a", "prediction-b"
    size = int(frame["width"]), int(frame["height"])
    return FrameCard(anchor, frame_title(frame, several_topics), facts, pictures, left, right, size)


def facts_of(frame: dict[Any, Any]) -> str:
    """Format the metrics of a frame in one line."""
    facts = [f"{number(frame['time'], 1)} s"] if np.isfinite(frame["time"]) else []
    for name, key in (("PQ", "pq"), ("mIoU", "miou")):
        if not math.isnan(frame[key]):
            facts.append(f"{name} {percent(frame[key])}")
    facts.append(f"{count(int(frame['segments']), 'segment')}, {count(int(frame['things']), 'thing')}")
    facts.append(f"{percent(frame['unlabelled'])} % unlabelled")
    if not math.isnan(frame["changed"]):
        facts.append(f"{percent(frame['changed'])} % changed")
    facts.append(f"{milliseconds(frame['latency'])} ms")
    return " · ".join(facts)
