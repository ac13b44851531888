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
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from ciae_ros.core.arguments import add_settings, positive_int
from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import Checkpoint, CheckpointError, InferenceSettings, Model, Predictor, load_for_backend
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.device_choice import default_device
from ciae_ros.inference.loading.named_models import AUTO, BACKENDS, TORCH
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.settings import THRESHOLDS
from ciae_ros.model.config import InstanceCategory
from training.evaluation.calibration import count_calibration_images
from training.evaluation.instance_category import use_instance_category
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
        model = load_for_backend(arguments.checkpoint, arguments.backend)
        predictor = _predictor(model, arguments)
        images = arguments.images or image_folder_of(arguments.annotations)
        with _output_folder(arguments.output) as output:
            scores = evaluate(predictor, annotations, images, output)
        calibration = model.calibration if isinstance(model, Checkpoint) else None
        num_calibrated = count_calibration_images(calibration, annotations, images)
        _print(predictor, annotations, scores, num_calibrated)
        if arguments.json:
            conditions = _conditions(arguments, predictor) | {"calibration_images": num_calibrated}
            content = {**conditions, "scores": scores.to_dict()}
            arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    except (CheckpointError, ValueError, OSError) as error:
        return report_failure("evaluate", error)
    return 0


def _predictor(model: Model, arguments: argparse.Namespace) -> Predictor:
    """Build the predictor.

    Raises:
        CheckpointError or ValueError: the arguments do not fit the model or the machine.
    """
    settings = model.settings.override(**{name: getattr(arguments, name) for name in THRESHOLDS})
    kind = OraclePredictor if arguments.oracle else Predictor
    if arguments.oracle or arguments.instance_category:
        if not isinstance(model, Checkpoint):
            raise ValueError(f"--oracle and --instance-category need a checkpoint of CIAE, not {model.name}")
        if arguments.instance_category:
            use_instance_category(model, arguments.instance_category)
    category_map = CategoryMap.load(arguments.map) if arguments.map else None
    if category_map:
        category_map.check_names(model.categories.categories)
    return kind(
        model,
        arguments.device,
        arguments.precision,
        settings,
        arguments.input_size,
        category_map=category_map,
        runtime=TORCH if arguments.backend == AUTO else arguments.backend,
    )


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
    backend = predictor.backend
    return {
        "checkpoint": predictor.name,
        "digest": predictor.digest,
        "annotations": str(arguments.annotations),
        "limit": arguments.limit,
        "oracle": arguments.oracle,
        "instance_category": backend.config.instance_category if isinstance(backend, CiaeBackend) else None,
        "device": predictor.device_name,
        "precision": arguments.precision,
        "input_size": backend.input_format.input_size,
        "map": str(arguments.map) if arguments.map else None,
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
    add("checkpoint", metavar="model", help="path of a .safetensors file, or another model as the node takes it")
    add("annotations", type=Path, help="JSON file in COCO's panoptic format, with PNGs in the folder of the same name")
    add("--images", type=Path, help="folder of the images (default: ../X for annotations/panoptic_X.json)")
    add("--map", type=Path, metavar="MAP.yaml", help="map the model's categories to those of the annotations")
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
    add("--backend", choices=BACKENDS, default=AUTO, help="what runs the network (auto: PyTorch, or the file's own)")
    add("--precision", choices=DTYPES, default="fp32", help="precision of weights and activations (default: fp32)")
    add(
        "--input-size",
        type=positive_int,
        help="shorter side of the network's input in pixels (default: as in the checkpoint)",
    )
    add_settings(parser, THRESHOLDS, InferenceSettings())
    add("--limit", type=positive_int, help="evaluate only the first LIMIT images")
    add("--json", type=Path, help="also write the scores, as fractions, to this file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
