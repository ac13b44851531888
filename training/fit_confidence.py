# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fit and test the confidence of a model on annotated images: see `python -m training.fit_confidence --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import CheckpointError, PanopticResult, Predictor, load_model
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.device_choice import default_device
from ciae_ros.replay.bags.types import TrueSegment, TrueSegments
from training.data.sample import read_rgb
from training.evaluation.confidence_fit import MarginCounts, count_margins, fit, flat


def main(argv: list[str] | None = None) -> int:
    """Fit the function, print it and its errors; returns 0 if everything could be read."""
    arguments = _parse_arguments(argv)
    try:
        counts = {spec: _counts(arguments, spec) for spec in (*arguments.fit, *arguments.test)}
    except (CheckpointError, ValueError, OSError) as error:
        return report_failure("fit_confidence", error)
    slope, offset = fit(_together([counts[spec] for spec in arguments.fit]))
    print(f"confidence_slope {slope:.2f}, confidence_offset {offset:.2f}")
    for spec, found in counts.items():
        use = "fitted on" if spec in arguments.fit else "tested on"
        difference, right = found.calibration_error(slope, offset), float(found.right.sum()) / float(found.total.sum())
        print(f"{use} {spec}: error {100 * difference:.1f} %, {100 * right:.1f} % of the samples are right")
    return 0


def _counts(arguments: argparse.Namespace, spec: str) -> MarginCounts:
    path, _, map_path = spec.partition(",")
    category_map = CategoryMap.load(Path(map_path)) if map_path else None
    predictor = Predictor(load_model(arguments.model), arguments.device, category_map=category_map)
    predictor.settings = flat(predictor.settings)
    found = count_margins(_results(predictor, PanopticAnnotations.load(Path(path)), image_folder_of(Path(path))))
    if found is None:
        raise ValueError(f"{arguments.model} has no confidence of pixels on the images of {path}")
    return found


def _results(
    predictor: Predictor, annotations: PanopticAnnotations, images: Path
) -> Iterator[tuple[PanopticResult, TrueSegments]]:
    for image_id in annotations.annotated:
        image = read_rgb(images / annotations.images[image_id]["file_name"])
        entries = annotations.annotations[image_id]["segments_info"]
        segments = tuple(map(TrueSegment.from_coco, entries))
        yield predictor.predict(image), TrueSegments(annotations.segment_ids(image_id), segments)


def _together(counts: list[MarginCounts]) -> MarginCounts:
    """Return the counts of several data sets, each with the same weight."""
    size = max(float(one.total.sum()) for one in counts)
    total, right = (
        np.sum([size / one.total.sum() * getattr(one, name) for one in counts], axis=0) for name in ("total", "right")
    )
    return MarginCounts(counts[0].margin, total, right)


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.fit_confidence",
        description="Fit the function that turns the margin of similarities into the probability that a category is "
        "right, and measure its error on other images. Nothing is written; `training.calibrate` writes a checkpoint.",
        epilog="example: python -m training.fit_confidence scenes_light --fit annotations/panoptic_val.json "
        "--test annotations/panoptic_test.json,map.yaml",
    )
    add = parser.add_argument
    add("model", help="name of a shipped model, or path of a checkpoint")
    help_text = "JSON files in COCO's panoptic format, each with the map of its categories after a comma if necessary"
    add("--fit", nargs="+", required=True, metavar="JSON[,MAP]", help=help_text)
    add("--test", nargs="+", default=[], metavar="JSON[,MAP]", help="the same")
    add("--device", default=default_device(), help=f"cpu, cuda or cuda:N (here: {default_device()})")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
