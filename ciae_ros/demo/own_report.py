# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The report of the demo's own run: a bag of what was played, and what the node answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.demo.picture import write_picture
from ciae_ros.inference import Predictor
from ciae_ros.inference.loading.named_models import load_for_backend
from ciae_ros.replay.answers import Answer, measure_answers
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.evaluate import NODE, Order, carry_out, checked_plan
from ciae_ros.replay.report import write_report
from ciae_ros.replay.reporting import pictures_of
from ciae_ros.replay.unit_evaluation import UnitResult
from ciae_ros.replay.units import Unit

TOPIC = "/image"


@dataclass
class PlayedImages:
    """What the player has published, small enough to be kept."""

    jpegs: dict[int, np.ndarray] = field(default_factory=dict)
    """JPEG files by stamp in nanoseconds."""

    def add(self, stamp: int, pixels: np.ndarray) -> None:
        """An image (H, W, 3) uint8 BGR."""
        self.jpegs[stamp] = cv2.imencode(".jpg", pixels)[1]

    def middle(self) -> np.ndarray:
        """The image in the middle, (H, W, 3) uint8 BGR."""
        stamps = sorted(self.jpegs)
        return cv2.imdecode(self.jpegs[stamps[len(stamps) // 2]], cv2.IMREAD_COLOR)

    def frames(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Topic, stamp and pixels in the order of the stamps."""
        for stamp, jpeg in sorted(self.jpegs.items()):
            yield TOPIC, stamp, cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def write_own_report(
    folder: Path,
    images: PlayedImages,
    answers: Mapping[int, Answer],
    model: str,
    node: Mapping[str, str],
    dropped: Mapping[str, int],
) -> Path:
    """Write what was played as a bag, measure the answers, and write the report; what was in the folder is replaced.

    Args:
        folder: of the run; beside it are the bag, `played`, and a frame taken apart, `picture.png`.
        images: that were played.
        answers: by stamp.
        model: as the node's parameter.
        node: what it says of itself in the diagnostics.
        dropped: images by reason, as the node says.

    Returns:
        The page.
    """
    bag = folder.with_name("played")
    for old in (folder, bag):
        shutil.rmtree(old, ignore_errors=True)
    write_bag(bag, images.frames(), compressed=True)
    order = Order([bag], folder, command="python -m ciae_ros.demo")
    plan = checked_plan(order)
    predictor = Predictor(load_for_backend(model))
    write_picture(folder.with_name("picture.png"), images.middle(), predictor)
    categories = predictor.categories

    def measure(units: Sequence[Unit], done: Callable[[int], object]) -> Iterator[tuple[Unit, UnitResult | str]]:
        for unit in units:
            found = measure_answers(unit, answers, categories, lambda _: None, keep_label_maps=True)
            whole = (dict(dropped), _seconds(answers)) if unit is units[0] else ({}, 0.0)
            yield unit, replace(found, dropped=whole[0], seconds=whole[1])
            done(unit.stop - unit.start)

    about = {
        "kind": NODE,
        "rate": 1.0,
        "model": {"name": node.get("model"), "hash": node.get("model digest")},
        "device": node.get("device"),
        "settings": {},
        "categories": categories.to_coco(),
        "versions": {},
    }
    run = carry_out(order, plan, about, measure)
    return write_report(run, run.folder, pictures_of(run))


def _seconds(answers: Mapping[int, Answer]) -> float:
    """From the first image to the last answer."""
    arrivals = [answer.arrived for answer in answers.values() if answer.arrived is not None]
    return max(arrivals) - min(answer.published for answer in answers.values()) if arrivals else 0.0
