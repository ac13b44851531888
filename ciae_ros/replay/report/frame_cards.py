"""Frames with their pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.replay.report.anchors import frame_title
from ciae_ros.replay.report.formatting import count, milliseconds, number, percent
from ciae_ros.replay.report.page import FrameCard, Picture
from ciae_ros.replay.report.pictures import label_uri, photo_uri
from ciae_ros.replay.types import FrameKey, FramePictures, PictureSource


def cards(
    frames: pd.DataFrame, rows: list[int], pictures: PictureSource, *, several_topics: bool
) -> dict[int, FrameCard]:
    """By row; frames that cannot be read again are left out."""
    result = {}
    for row in rows:
        frame = frames.loc[row].to_dict()
        found = pictures.picture(key_of(frame))
        if found is not None:
            result[row] = frame_card(f"frame-{row}", frame, run_pictures(found), several_topics=several_topics)
    return result


def key_of(frame: dict[Any, Any]) -> FrameKey:
    """Of a row of the table of frames."""
    return FrameKey(str(frame["bag"]), str(frame["topic"]), int(frame["index"]))


def run_pictures(found: FramePictures) -> tuple[Picture, ...]:
    """Those of one run."""
    result = [Picture("image", "Image", photo_uri(found.image))]
    for kind, image in (("truth", found.truth), ("prediction", found.prediction), ("error", found.error)):
        if image is not None:
            result.append(Picture(kind, kind.capitalize(), label_uri(image)))
    return tuple(result)


def frame_card(
    anchor: str, frame: dict[Any, Any], pictures: tuple[Picture, ...], *, several_topics: bool, facts: str = ""
) -> FrameCard:
    """Opens with the prediction beside the truth, or beside the image where there is no truth."""
    kinds = {picture.kind for picture in pictures}
    left = "truth" if "truth" in kinds else "image"
    size = int(frame["width"]), int(frame["height"])
    title = frame_title(frame, several_topics)
    return FrameCard(anchor, title, facts or facts_of(frame), pictures, left, "prediction", size)


def facts_of(frame: dict[Any, Any]) -> str:
    """What was measured of a frame, in a line."""
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
