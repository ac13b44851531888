# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The report of the demo's run: a bag of the played images, and the node's responses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from ciae_ros.core.diagnostics import NodeDiagnostics
from ciae_ros.inference import Predictor
from ciae_ros.inference.loading.named_models import load_for_backend
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.cli.output import frame_images_of
from ciae_ros.replay.evaluation.run_evaluation import NODE, EvaluationConfig, checked_plan, run_evaluation
from ciae_ros.replay.evaluation.shard_evaluation import ShardResult
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.playback.node_responses import NodeResponse, measure_responses
from ciae_ros.replay.report import write_report
from ciae_ros.visualization import draw_overlay, embedding_colors

TOPIC = "/image"


@dataclass
class PlayedImages:
    """The images that the player has published, compressed."""

    jpegs: dict[int, np.ndarray] = field(default_factory=dict)
    """JPEG files by stamp in nanoseconds."""

    def add(self, stamp: int, pixels: np.ndarray) -> None:
        """Add an image (H, W, 3) uint8 BGR."""
        self.jpegs[stamp] = cv2.imencode(".jpg", pixels)[1]

    def middle(self) -> np.ndarray:
        """Return the image in the middle, (H, W, 3) uint8 BGR."""
        stamps = sorted(self.jpegs)
        return cv2.imdecode(self.jpegs[stamps[len(stamps) // 2]], cv2.IMREAD_COLOR)

    def frames(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Iterate over topic, stamp and pixels in the order of the stamps."""
        for stamp, jpeg in sorted(self.jpegs.items()):
            yield TOPIC, stamp, cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def write_own_report(
    folder: Path,
    images: PlayedImages,
    responses: Mapping[int, NodeResponse],
    model: str,
    node: NodeDiagnostics,
    dropped: Mapping[str, int],
) -> Path:
    """Write the played images as a bag, evaluate the responses and write the report, replacing earlier ones.

    Args:
        folder: folder of the run; next to it are the bag, `played`, and the side-by-side picture, `picture.png`.
        images: the played images.
        responses: responses of the node by stamp.
        model: model, as in the node's parameter.
        node: diagnostics of the node.
        dropped: number of dropped images by reason.

    Returns:
        The path of the page.
    """
    bag = folder.with_name("played")
    for old in (folder, bag):
        shutil.rmtree(old, ignore_errors=True)
    write_bag(bag, images.frames(), compressed=True)
    config = EvaluationConfig([bag], folder, command="python -m ciae_ros.demo")
    plan = checked_plan(config)
    predictor = Predictor(load_for_backend(model))
    write_side_by_side(folder.with_name("picture.png"), images.middle(), predictor)
    categories = predictor.categories

    def measure(shards: Sequence[Shard], done: Callable[[int], object]) -> Iterator[tuple[Shard, ShardResult | str]]:
        for shard in shards:
            found = measure_responses(shard, responses, categories, lambda _: None, keep_label_maps=True)
            whole = (dict(dropped), _seconds(responses)) if shard is shards[0] else ({}, 0.0)
            yield shard, replace(found, dropped=whole[0], seconds=whole[1])
            done(shard.stop - shard.start)

    metadata = {
        "kind": NODE,
        "rate": 1.0,
        "model": {"name": node.model, "hash": node.digest},
        "device": node.device,
        "settings": {},
        "categories": categories.to_coco(),
        "versions": {},
    }
    run = run_evaluation(config, plan, metadata, measure)
    return write_report(run, run.folder, frame_images_of(run))


def _seconds(responses: Mapping[int, NodeResponse]) -> float:
    """Return the time from the first image to the last response."""
    arrivals = [response.arrived for response in responses.values() if response.arrived is not None]
    return max(arrivals) - min(response.published for response in responses.values()) if arrivals else 0.0


def write_side_by_side(path: Path, image: np.ndarray, predictor: Predictor) -> None:
    """Write a PNG file with the image, its panoptic map and, if the network has one, the embedding of its pixels.

    Args:
        path: path of the file.
        image: (H, W, 3) uint8 BGR.
        predictor: segments the image.
    """
    panels = [image, draw_overlay(image, predictor.predict(image, "bgr"))]
    if predictor.backend.embedding_dim:
        geometry = predictor.geometry(*image.shape[:2])
        embedding = embedding_colors(predictor.embed(image, "bgr"), geometry.resized)
        panels.append(cv2.resize(embedding, image.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    cv2.imwrite(str(path), np.hstack(panels))
