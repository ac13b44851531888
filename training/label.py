# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Label recordings with teachers: see `python -m training.label --help`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ciae_ros.camera.frames import SourceError
from ciae_ros.core.arguments import positive_float, positive_int
from ciae_ros.core.command_errors import reason_of, report_failure
from ciae_ros.inference import CheckpointError
from ciae_ros.inference.category_map import CategoryMap, CategoryMapError
from ciae_ros.inference.loading.named_models import AUTO
from ciae_ros.inference.precision import DTYPES
from ciae_ros.replay.bags.types import ReplayError
from training.labeling.annotated import Annotated
from training.labeling.frame_selection import Selection
from training.labeling.labeling import LabelingConfig, label_sequences
from training.labeling.review_page import write_review_page
from training.labeling.sources import Sources, find_sequences
from training.labeling.teacher import Teacher, TeacherError, load_teacher
from training.labeling.voting import Thresholds

UNREADABLE, INTERRUPTED = 1, 130


def main(argv: list[str] | None = None) -> int:
    """Label the recordings.

    Returns:
        0; 1 if something could not be read or written, with one line for each problem; 130 after an interruption.
    """
    options = _parse(argv)
    try:
        return _label(options)
    except KeyboardInterrupt:
        print("label: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = ": free some space; the same command continues" if full else ""
        print(f"label: {reason_of(error)}{advice}", file=sys.stderr)
    except torch.OutOfMemoryError:
        print(
            "label: the device has too little memory: the same command with a smaller --batch continues",
            file=sys.stderr,
        )
    except (CategoryMapError, CheckpointError, ReplayError, SourceError, TeacherError, ValueError) as error:
        report_failure("label", error)
    return UNREADABLE


def _label(options: argparse.Namespace) -> int:
    chosen_map = CategoryMap.load(options.map) if options.map else None
    config = LabelingConfig(
        Selection(options.interval, options.min_change),
        Thresholds(options.min_score, options.min_agreement, options.min_area, options.min_support),
        options.mirror,
        options.neighbors,
        options.hold_out,
        options.batch,
        _annotated(options, chosen_map),
    )
    sources = find_sequences(options.sources, options.topics)
    for line in sources.notes:
        print(f"label: note: {line}", file=sys.stderr)
    if not sources.sequences:
        raise SourceError("; ".join(sources.problems) or "there is nothing to label")
    teachers = [
        one for name in options.teacher for one in load_teacher(name, options.device, options.precision, options.scales)
    ]
    category_map = chosen_map or _own_categories(teachers)
    category_map.check_names(*(teacher.categories for teacher in teachers))
    _print_unmapped(category_map, teachers)
    problems = list(sources.problems)

    def note(line: str) -> None:
        tqdm.write(f"label: note: {line}", file=sys.stderr)

    def problem(line: str) -> None:
        problems.append(line)
        tqdm.write(f"label: {line}", file=sys.stderr)

    _print_problems(sources)
    label_set = label_sequences(sources.sequences, teachers, category_map, options.output, config, note, problem)
    for split in reversed(label_set.splits):
        print(f"written: {label_set.annotations(split)}")
    print(f"review: {write_review_page(label_set.folder)}")
    return UNREADABLE if problems else 0


def _annotated(options: argparse.Namespace, own: CategoryMap | None) -> Annotated | None:
    """Load the annotations of the images.

    Raises:
        ValueError: an option is missing, or the annotations cannot be used.
    """
    if options.annotations is None:
        return None
    if options.annotations_map is None or own is None:
        raise ValueError("--annotations needs --annotations-map and --map")
    return Annotated(options.annotations, CategoryMap.load(options.annotations_map), own.categories)


def _own_categories(teachers: Sequence[Teacher]) -> CategoryMap:
    """Return the map that leaves the categories of the only teacher as they are."""
    if len({tuple(teacher.categories) for teacher in teachers}) > 1:
        raise CategoryMapError("the teachers have different categories: give a --map to your own")
    try:
        return CategoryMap.identity(teachers[0].categories)
    except CategoryMapError as error:
        raise CategoryMapError(
            f"{teachers[0].name}: {error}; add a --teacher that has them, or a --map that turns some into stuff"
        ) from None


def _print_unmapped(category_map: CategoryMap, teachers: Sequence[Teacher]) -> None:
    for teacher in teachers:
        unmapped = [category.name for category in category_map.for_model(teacher.categories).unmapped]
        if unmapped:
            shown = ", ".join(unmapped[:8]) + (f" and {len(unmapped) - 8} more" if len(unmapped) > 8 else "")
            print(f"label: note: categories of {teacher.name} that become void: {shown}", file=sys.stderr)


def _print_problems(sources: Sources) -> None:
    for problem in sources.problems:
        print(f"label: {problem}", file=sys.stderr)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.label",
        description="Label recordings with one or several teachers. The result is a data set in COCO's panoptic format "
        "with a review page. The same command continues an interrupted run.",
        epilog="example: python -m training.label drive.mcap --teacher hf://tue-mps/coco_panoptic_eomt_large_640 "
        "--map config/label_maps/road_scenes.yaml --output out/labels --mirror --hold-out 0.2",
    )
    add = parser.add_argument
    selection, thresholds, config = Selection(), Thresholds(), LabelingConfig()
    add("sources", nargs="+", type=Path, metavar="SOURCE", help="bags, videos, images, and folders of images")
    add(
        "--teacher",
        action="append",
        required=True,
        metavar="MODEL",
        help="a model as the node takes it, or FILE.py?KEY=VALUE with a function make_teacher; may be repeated",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the data set")
    add("--map", type=Path, metavar="MAP.yaml", help="map to your own categories (default: those of the teacher)")
    add(
        "--annotations",
        type=Path,
        metavar="JSON",
        help="annotations of the images of a folder, in COCO's panoptic format, with which the labels must agree",
    )
    add(
        "--annotations-map",
        type=Path,
        metavar="MAP.yaml",
        help="a label agrees with an annotation if this map makes the same category of both",
    )
    add("--topics", nargs="+", metavar="TOPIC", help="image topics of bags (default: all of cameras)")
    add("--device", default=AUTO, help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--precision", choices=(AUTO, *DTYPES), default=AUTO, help="default: fp16 on a CUDA device, else fp32")
    add("--batch", type=positive_int, default=config.batch, help="images at once (default: %(default)s)")
    add(
        "--interval",
        type=float,
        default=selection.interval,
        metavar="SECONDS",
        help="minimum time between frames of bags and videos (default: %(default)s)",
    )
    add(
        "--min-change",
        type=float,
        default=selection.min_change,
        metavar="SHARE",
        help="minimum share of pixels that changed since the previous selected frame; 0: all (default: %(default)s)",
    )
    add("--mirror", action="store_true", help="the mirrored frame votes too")
    add(
        "--scales",
        nargs="+",
        type=positive_float,
        default=[1.0],
        metavar="FACTOR",
        help="factors on the size at which a model sees a frame; each one votes (default: 1)",
    )
    add(
        "--neighbors",
        type=int,
        default=config.neighbors,
        metavar="N",
        help="N frames before and after vote too, with their motion compensated (default: %(default)s)",
    )
    add("--min-score", type=float, default=thresholds.min_score, help="of a thing (default: %(default)s)")
    add(
        "--min-agreement",
        type=float,
        default=thresholds.min_agreement,
        help="share of agreeing votes; below it, pixels become void (default: %(default)s)",
    )
    add(
        "--min-support",
        type=float,
        metavar="SHARE",
        help="share of votes that confirm an instance (default: that of --min-agreement)",
    )
    add(
        "--min-area",
        type=positive_int,
        default=thresholds.min_area,
        help="of a segment in pixels (default: %(default)s)",
    )
    add(
        "--hold-out",
        type=float,
        default=config.hold_out,
        metavar="SHARE",
        help="share of each recording, its end, that becomes panoptic_val.json (default: %(default)s)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
