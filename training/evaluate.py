# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluate a checkpoint on annotated images: see `python -m training.evaluate --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from ciae_ros.core.arguments import positive_int
from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import Checkpoint, CheckpointError, Predictor, load_model
from ciae_ros.inference.device_choice import default_device
from ciae_ros.inference.predictor import DTYPES
from ciae_ros.inference.settings import THRESHOLDS
from ciae_ros.model.config import InstanceCategory
from training.evaluation.calibration import count_calibration_images
from training.evaluation.oracle import OraclePredictor
from training.evaluation.runner import evaluate
from training.evaluation.scores import Scores, format_scores


def main(argv: list[str] | None = None) -> int:
    """Segment and score the images and print the scores; returns 0 if there are scores."""
    arguments = _parse_arguments(argv)
    try:
        if arguments.json and not arguments.json.parent.is_dir():
            raise ValueError(f"the folder of {arguments.json} does not exist")  # Before the images are segmented.
        annotations = PanopticAnnotations.load(arguments.annotations)
        if arguments.limit:
            annotations = annotations.first(arguments.limit)
        checkpoint = load_model(arguments.checkpoint)
        predictor = _predictor(checkpoint, arguments)
        images = arguments.images or image_folder_of(arguments.annotations)
        with _output_folder(arguments.output) as output:
            scores = evaluate(predictor, annotations, images, output)
        num_calibrated = count_calibration_images(checkpoint.calibration, annotations, images)
        _print(predictor, annotations, scores, num_calibrated)
        if arguments.json:
            conditions = _conditions(arguments, predictor) | {"calibration_images": num_calibrated}
            content = {**conditions, "scores": scores.to_dict()}
            arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    except (CheckpointError, ValueError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def _predictor(checkpoint: Checkpoint, arguments: argparse.Namespace) -> Predictor:
    settings = checkpoint.settings.override(**{name: getattr(arguments, name) for name in THRESHOLDS})
    kind = OraclePredictor if arguments.oracle else Predictor
    predictor = kind(checkpoint, arguments.device, arguments.precision, settings, arguments.input_size)
    if arguments.instance_category:
        predictor.config = replace(predictor.config, instance_category=arguments.instance_category)
    return predictor


@contextmanager
def _output_folder(chosen: Path | None) -> Iterator[Path]:
    """Return the chosen folder, or a temporary one."""
    if chosen:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="ciae_evaluate_") as folder:
        yield Path(folder)


def _conditions(arguments: argparse.Namespace, predictor: Predictor) -> dict[str, Any]:
    """Return the conditions of the evaluation for the JSON file."""
    return {
        "checkpoint": predictor.name,
        "digest": predictor.digest,
        "annotations": str(arguments.annotations),
        "limit": arguments.limit,
        "oracle": arguments.oracle,
        "instance_category": predictor.config.instance_category,
        "device": predictor.device_name,
        "precision": arguments.precision,
        "input_size": predictor.config.input_size,
        "settings": asdict(predictor.settings),
    }


def _print(predictor: Predictor, annotations: PanopticAnnotations, scores: Scores, num_calibrated: int) -> None:
    oracle = ", with ground-truth boxes and masks (oracle)" if isinstance(predictor, OraclePredictor) else ""
    count = len(annotations.annotations)
    print(f"{predictor.name} ({predictor.digest}) on {count} images of {annotations.path.name}{oracle}; percent\n")
    print(format_scores(scores, annotations.categories))
    if num_calibrated:
        print(f"\nThe model's thresholds were chosen on {num_calibrated} of these images: the scores are too high.")


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Segment annotated images with a checkpoint and print PQ, mIoU and AP.",
        epilog="example: python -m training.evaluate model.safetensors coco/annotations/panoptic_val2017.json",
    )
    device = default_device()
    add = parser.add_argument
    add("checkpoint", help="path of a .safetensors file, or name of a shipped model")
    add("annotations", type=Path, help="JSON file in COCO's panoptic format, with PNGs in the folder of the same name")
    add("--images", type=Path, help="folder of the images (default: ../X for annotations/panoptic_X.json)")
    add("--output", type=Path, help="folder for the results in COCO's format (default: they are not kept)")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--oracle", action="store_true", help="use ground-truth boxes, masks and classes of the instances (Table V)"
    )
    classes.add_argument(
        "--instance-category",
        choices=get_args(InstanceCategory),
        help='source of an instance\'s category (Table IV); "embedding" needs a checkpoint whose memory contains '
        "all thing classes (default: as in the checkpoint)",
    )
    add("--device", default=device, help=f"cpu, cuda or cuda:N (here: {device})")
    add("--precision", choices=DTYPES, default="fp32", help="precision of weights and activations (default: fp32)")
    add(
        "--input-size",
        type=positive_int,
        help="shorter side of the network's input in pixels (default: as in the checkpoint)",
    )
    add(
        "--score-threshold",
        type=float,
        help="minimum score of instances; use a low one for the AP (default: as in the checkpoint)",
    )
    add(
        "--nms-threshold",
        type=float,
        help="IoU above which the lower-scored of two boxes is suppressed (default: as in the checkpoint)",
    )
    add(
        "--duplicate-similarity",
        type=float,
        help="cosine similarity of the embedding above which the lower-scored of two overlapping instances is dropped; "
        "1: never, as in the paper (default: as in the checkpoint)",
    )
    add(
        "--duplicate-iou",
        type=float,
        help="IoU above which instances with a similar embedding are duplicates (default: as in the checkpoint)",
    )
    add(
        "--min-stuff-area",
        type=int,
        help="minimum area of stuff segments in pixels; the paper's 4096 is for images of COCO's size, smaller ones "
        "need less (default: as in the checkpoint)",
    )
    add("--limit", type=positive_int, help="evaluate only the first LIMIT images")
    add("--json", type=Path, help="also write the scores, as fractions, to this file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
