# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Segment the images of a data set, write the results, score them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_results
from ciae_ros.inference import CategorySet, PanopticResult, Predictor
from training.data.sample import Sample, read_sample
from training.evaluation.metrics import EngineName, compute_scores, load_engine
from training.evaluation.oracle import OraclePredictor
from training.evaluation.scores import Scores

READERS = 2
"""Threads that decode images."""
READ_AHEAD = 8
"""Images that wait decoded."""


def evaluate(
    predictor: Predictor,
    annotations: PanopticAnnotations,
    image_folder: Path,
    output: Path,
    engine: EngineName = "hotcoco",
) -> Scores:
    """Segment all annotated images and compare with the ground truth.

    Args:
        predictor: an `OraclePredictor` is given the ground truth too (Table V).
        annotations: the images.
        image_folder: of the image files.
        output: folder, made if it is not there, for the results: as `results_path` says, a JSON file and a folder of
            PNGs named as COCO's test server wants them zipped.
        engine: "hotcoco", or "official" for panopticapi and pycocotools.

    Raises:
        ValueError: the network has other categories than the data, there is no annotated image, or an image or its PNG
            is missing or damaged, or a segment of the truth lacks its area or box.
        EngineError: the engine is not installed.
        OSError: the results cannot be written.
    """
    load_engine(engine)  # If it is not installed, that is known now and not after the last image.
    _check_categories(predictor.categories, annotations.categories)
    _check_images(annotations)
    path = results_path(output, annotations)
    write_results(_predict(predictor, annotations, image_folder), path, annotations)
    return compute_scores(annotations, path, engine)


def results_path(output: Path, annotations: PanopticAnnotations) -> Path:
    """The JSON file of the results: panoptic_SPLIT_ciae_results.json; the PNGs are in the folder of that name."""
    return output / f"{annotations.path.stem}_ciae_results.json"


def _predict(
    predictor: Predictor, annotations: PanopticAnnotations, image_folder: Path
) -> Iterator[tuple[int, str, PanopticResult]]:
    samples = _read_ahead(annotations, image_folder)
    # No bar where nobody would see it move.
    for image_id, sample in tqdm(samples, total=len(annotations.annotations), unit=" images", disable=None):
        yield image_id, annotations.annotations[image_id]["file_name"], _segment(predictor, sample)


def _segment(predictor: Predictor, sample: Sample) -> PanopticResult:
    if isinstance(predictor, OraclePredictor):
        return predictor.predict_sample(sample)
    return predictor.predict(sample.image.permute(1, 2, 0).contiguous().numpy(), "rgb")


def _read_ahead(annotations: PanopticAnnotations, image_folder: Path) -> Iterator[tuple[int, Sample]]:
    """Image ids and samples in the annotations' order, decoded while the ones before are being segmented."""
    waiting: deque[tuple[int, Future[Sample]]] = deque()
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
            raise ValueError(f"{annotations.path} annotates image {image_id}, which is not among its images")
    for entry in annotations.annotations.values():
        if not all(segment.keys() >= {"area", "bbox"} for segment in entry["segments_info"]):
            raise ValueError(f"{annotations.path} has a segment without area or bbox in {entry['file_name']}")


def _check_categories(of_network: CategorySet, of_data: CategorySet) -> None:
    network, data = (
        [(category.id, category.name, category.is_thing) for category in categories.categories]
        for categories in (of_network, of_data)
    )
    if network == data:
        return
    only_network = ", ".join(name for _, name, _ in network if name not in {name for _, name, _ in data})
    only_data = ", ".join(name for _, name, _ in data if name not in {name for _, name, _ in network})
    raise ValueError(
        f"the network has other categories than the data: {len(network)} against {len(data)}; "
        f"only the network's: {only_network[:80] or 'none'}; only the data's: {only_data[:80] or 'none'}; "
        "ids, things and their order must be the same too"
    )
