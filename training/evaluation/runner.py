# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of a predictor: segments the images of a data set, writes the results and scores them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations, check_png_names, write_results
from ciae_ros.inference import CategorySet, PanopticResult, Predictor
from training.data.sample import Sample, read_sample
from training.evaluation.metrics import compute_scores
from training.evaluation.oracle import OraclePredictor
from training.evaluation.scores import Scores

READERS = 2
"""Threads that decode images."""
READ_AHEAD = 8
"""Maximum number of decoded images in the queue."""


def evaluate(
    predictor: Predictor,
    annotations: PanopticAnnotations,
    image_folder: Path,
    output: Path,
) -> Scores:
    """Segment all annotated images and compare the results with the ground truth.

    Args:
        predictor: predictor; an `OraclePredictor` also receives the ground truth (Table V).
        annotations: annotations of the images.
        image_folder: folder of the image files.
        output: folder for the results, created if missing: the JSON file of `results_path` and a folder of PNGs, named
            as COCO's test server expects.

    Raises:
        ValueError: the categories of network and data differ, no image is annotated, an image or its PNG is missing or
            corrupt, or a segment of the ground truth has no area or box.
        OSError: the results cannot be written.
    """
    check_annotations(predictor, annotations)
    path = results_path(output, annotations)
    write_results(_predict(predictor, annotations, image_folder), path, annotations)
    return compute_scores(annotations, path)


def check_annotations(predictor: Predictor, annotations: PanopticAnnotations) -> None:
    """Check that the annotations can be compared with the results of a predictor.

    Raises:
        ValueError: the categories differ, no image is annotated, or an annotation is incomplete.
    """
    _check_categories(predictor.categories, annotations.categories)
    _check_images(annotations)


def results_path(output: Path, annotations: PanopticAnnotations) -> Path:
    """Return the JSON file of the results, panoptic_SPLIT_ciae_results.json, next to the folder of the PNGs."""
    return output / f"{annotations.path.stem}_ciae_results.json"


def _predict(
    predictor: Predictor, annotations: PanopticAnnotations, image_folder: Path
) -> Iterator[tuple[ImageId, str, PanopticResult]]:
    samples = _read_ahead(annotations, image_folder)
    # `disable=None` hides the bar unless the output is a terminal.
    for image_id, sample in tqdm(samples, total=len(annotations.annotations), unit=" images", disable=None):
        yield image_id, annotations.annotations[image_id]["file_name"], _segment(predictor, sample)


def _segment(predictor: Predictor, sample: Sample) -> PanopticResult:
    if isinstance(predictor, OraclePredictor):
        return predictor.predict_sample(sample)
    return predictor.predict(sample.image.permute(1, 2, 0).contiguous().numpy(), "rgb")


def _read_ahead(annotations: PanopticAnnotations, image_folder: Path) -> Iterator[tuple[ImageId, Sample]]:
    """Yield image ids and samples in the order of the annotations, decoded in advance on threads."""
    waiting: deque[tuple[ImageId, Future[Sample]]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for image_id in annotations.annotations:
            waiting.append((image_id, readers.submit(read_sample, annotations, image_folder, image_id)))
            if len(waiting) > READ_AHEAD:
                first, sample = waiting.popleft()
                yield first, sample.result()
        for image_id, sample in waiting:
            yield image_id, sample.result()


def _check_images(annotations: PanopticAnnotations) -> None:
    if not annotations.annotations:
        raise ValueError(f"{annotations.path} has no annotated image")
    for image_id in annotations.annotations:
        if image_id not in annotations.images:
            raise ValueError(f"{annotations.path} annotates image {image_id!r}, which is not among its images")
    check_png_names(annotations.annotations.values(), annotations.path)
    for entry in annotations.annotations.values():
        if not all(segment.keys() >= {"area", "bbox"} for segment in entry["segments_info"]):
            raise ValueError(f"{annotations.path} has a segment without area or bbox in {entry['file_name']}")


def _check_categories(network_categories: CategorySet, data_categories: CategorySet) -> None:
    network, data = (
        [(category.id, category.name, category.is_thing) for category in categories.categories]
        for categories in (network_categories, data_categories)
    )
    if network == data:
        return
    only_network = ", ".join(name for _, name, _ in network if name not in {name for _, name, _ in data})
    only_data = ", ".join(name for _, name, _ in data if name not in {name for _, name, _ in network})
    raise ValueError(
        f"the categories of the network ({len(network)}) differ from those of the data ({len(data)}); "
        f"only in the network: {only_network[:80] or 'none'}; only in the data: {only_data[:80] or 'none'}; "
        "ids, kinds and order must also be the same"
    )
