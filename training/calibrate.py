# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Choose a checkpoint's thresholds on held-out images: see `python -m training.calibrate --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from ciae_ros.core.arguments import positive_int
from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import CheckpointError, Predictor, load_model
from ciae_ros.inference.device_choice import default_device
from ciae_ros.inference.loading.checkpoint import copy_with_settings
from ciae_ros.inference.loading.named_models import UNTRAINED_PREFIX, shipped_models
from training.evaluation.calibration import VALUES, CalibrationResult, calibrate


def main(argv: list[str] | None = None) -> int:
    """Choose the thresholds, print them and write them into the checkpoint; returns 0 if they were written."""
    arguments = _parse_arguments(argv)
    try:
        checkpoint = load_model(arguments.checkpoint)
        source, target = _files(arguments)
        annotations = PanopticAnnotations.load(arguments.annotations)
        if arguments.limit:
            annotations = annotations.first(arguments.limit)
        images = arguments.images or image_folder_of(arguments.annotations)
        result = calibrate(Predictor(checkpoint, arguments.device), annotations, images)
        print("\n".join(_report(result)))
        copy_with_settings(source, target, result.after, result.calibration)
        print(f"written to {target}")
    except (CheckpointError, ValueError, OSError) as error:
        return report_failure("calibrate", error)
    return 0


def _files(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Return the file to read and the file to write.

    Raises:
        ValueError: the checkpoint is not a file, or is one that comes with the package, or the output has no folder.
    """
    name: str = arguments.checkpoint
    if name.startswith(UNTRAINED_PREFIX):
        raise ValueError(f"{name} has no file: give the path of a .safetensors file")
    shipped = shipped_models()
    if name in shipped and not arguments.output:
        raise ValueError(f"{name} comes with the package and stays as it is: give the path of a copy with --output")
    source = shipped.get(name, Path(name))
    target: Path = arguments.output or source
    if not target.parent.is_dir():
        raise ValueError(f"the folder of {target} does not exist")
    return source, target


def _report(result: CalibrationResult) -> Iterator[str]:
    """Return the lines of a table of the settings and their scores, before and after."""
    count = len(result.calibration.images)
    yield f"{result.num_trials} settings compared on {count} images of {result.calibration.data}"
    yield ""
    yield f"{'':22}{'before':>8}{'after':>8}"
    for name in (*VALUES, "confidence_slope", "confidence_offset"):
        yield f"{name:22}{getattr(result.before, name):8g}{getattr(result.after, name):8g}"
    for name, label in (("all", "PQ"), ("things", "PQ of things"), ("stuff", "PQ of stuff")):
        before, after = (100 * getattr(score, name) for score in (result.score_before, result.score_after))
        yield f"{label:22}{before:8.1f}{after:8.1f}"
    if result.margins is not None:
        before, after = (
            100 * result.margins.calibration_error(one.confidence_slope, one.confidence_offset)
            for one in (result.before, result.after)
        )
        yield f"{'confidence, error %':22}{before:8.1f}{after:8.1f}"
    yield ""
    yield "The thresholds suit these images best, so report scores on others."


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.calibrate",
        description="Choose the thresholds of a checkpoint with the highest PQ on annotated images, and write them "
        "into it: score, non-maximum suppression, duplicates and area of stuff. Use images that the model was not "
        "trained on, and report scores on others.",
        epilog="example: python -m training.calibrate model.safetensors data/annotations/panoptic_heldout.json",
    )
    device = default_device()
    add = parser.add_argument
    add("checkpoint", help="path of a .safetensors file, or name of a shipped model, which needs --output")
    add("annotations", type=Path, help="JSON file in COCO's panoptic format, with PNGs in the folder of the same name")
    add("--images", type=Path, help="folder of the images (default: ../X for annotations/panoptic_X.json)")
    add("--output", type=Path, help="file to write instead of the checkpoint itself")
    add("--device", default=device, help=f"cpu, cuda or cuda:N (here: {device})")
    add("--limit", type=positive_int, help="use only the first LIMIT images")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
