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

import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import CheckpointError, Predictor, load_model
from ciae_ros.inference.predictor import DTYPES
from ciae_ros.model.config import InstanceCategory
from training.arguments import positive
from training.evaluation.metrics import EngineError, EngineName
from training.evaluation.oracle import OraclePredictor
from training.evaluation.report import format_scores
from training.evaluation.run import evaluate
from training.evaluation.scores import Scores

THRESHOLDS = ("score_threshold", "nms_threshold", "min_stuff_area")
"""Options that take the place of the checkpoint's inference settings."""


def main(argv: list[str] | None = None) -> int:
    """Segment, score, print; 0 if there are scores."""
    arguments = _parse_arguments(argv)
    engine: EngineName = "official" if arguments.official else "hotcoco"
    try:
        if arguments.json and not arguments.json.parent.is_dir():
            raise ValueError(f"there is no folder for {arguments.json}")  # Better now than after the last image.
        annotations = PanopticAnnotations.load(arguments.annotations)
        if arguments.limit:
            annotations = annotations.first(arguments.limit)
        predictor = _predictor(arguments)
        images = arguments.images or image_folder_of(arguments.annotations)
        with _output_folder(arguments.output) as output:
            scores = evaluate(predictor, annotations, images, output, engine)
        _print(predictor, annotations, scores)
        if arguments.json:
            content = {**_conditions(arguments, predictor, engine), "scores": scores.to_dict()}
            arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    except (CheckpointError, EngineError, ValueError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def _predictor(arguments: argparse.Namespace) -> Predictor:
    checkpoint = load_model(arguments.checkpoint)
    chosen = {name: getattr(arguments, name) for name in THRESHOLDS if getattr(arguments, name) is not None}
    settings = replace(checkpoint.settings, **chosen)
    kind = OraclePredictor if arguments.oracle else Predictor
    predictor = kind(checkpoint, arguments.device, arguments.precision, settings, arguments.input_size)
    if arguments.instance_category:
        predictor.config = replace(predictor.config, instance_category=arguments.instance_category)
    return predictor


@contextmanager
def _output_folder(chosen: Path | None) -> Iterator[Path]:
    """The chosen folder, or one that is removed afterwards."""
    if chosen:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="ciae_evaluate_") as folder:
        yield Path(folder)


def _conditions(arguments: argparse.Namespace, predictor: Predictor, engine: EngineName) -> dict[str, Any]:
    """What the scores are of, so that a JSON file speaks for itself."""
    return {
        "checkpoint": predictor.name,
        "digest": predictor.digest,
        "annotations": str(arguments.annotations),
        "limit": arguments.limit,
        "engine": engine,
        "oracle": arguments.oracle,
        "instance_category": predictor.config.instance_category,
        "device": predictor.device_name,
        "precision": arguments.precision,
        "input_size": predictor.config.input_size,
        "settings": asdict(predictor.settings),
    }


def _print(predictor: Predictor, annotations: PanopticAnnotations, scores: Scores) -> None:
    oracle = ", with ground-truth boxes and masks (oracle)" if isinstance(predictor, OraclePredictor) else ""
    count = len(annotations.annotations)
    print(f"{predictor.name} ({predictor.digest}) on {count} images of {annotations.path.name}{oracle}; percent\n")
    print(format_scores(scores, annotations.categories))


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Segment annotated images with a checkpoint and print PQ, mIoU and AP.",
        epilog="example: python -m training.evaluate model.safetensors coco/annotations/panoptic_val2017.json",
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    add = parser.add_argument
    add("checkpoint", help="path of the .safetensors file, or name of a model that comes with the package")
    add("annotations", type=Path, help="JSON file in COCO's panoptic format, its PNGs in the folder of the same name")
    add("--images", type=Path, help="folder of the images (default: ../X for annotations/panoptic_X.json)")
    add("--output", type=Path, help="keep the results here, in COCO's format (default: they are not kept)")
    add("--official", action="store_true", help="score with panopticapi and pycocotools instead of hotcoco: slow")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--oracle", action="store_true", help="with ground-truth boxes, masks and classes of the instances (Table V)"
    )
    classes.add_argument(
        "--instance-category",
        choices=get_args(InstanceCategory),
        help='where an instance\'s category comes from (Table IV); "embedding" needs a checkpoint whose memory has '
        "every thing class (default: the checkpoint's own)",
    )
    add("--device", default=device, help=f"cpu, cuda or cuda:N (here: {device})")
    add("--precision", choices=DTYPES, default="fp32", help="of weights and activations (default: fp32)")
    add(
        "--input-size",
        type=positive,
        help="shorter side in the network, in pixels (default: the checkpoint's own)",
    )
    add(
        "--score-threshold",
        type=float,
        help="instances with a lower score are left out; the AP needs a low one (default: the checkpoint's own)",
    )
    add(
        "--nms-threshold",
        type=float,
        help="IoU above which the lower-scored of two boxes is left out (default: the checkpoint's own)",
    )
    add(
        "--min-stuff-area",
        type=int,
        help="stuff of fewer pixels becomes unlabelled; the paper's 4096 is for images of COCO's size, smaller ones "
        "need less (default: the checkpoint's own)",
    )
    add("--limit", type=positive, help="evaluate the first LIMIT images only")
    add("--json", type=Path, help="write the scores, as fractions, to this file too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
