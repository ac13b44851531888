# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Time inference as Table I does: `python -m training.benchmark --images data/coco/val2017`.

One image at a time, from its decoded pixels to a panoptic result on the host. "Inference" is the sum of all stages of
`StageTimes`: preprocess (with the upload), network, proposals (with non-maximum suppression), fusion and download.
"Fusion" is what the paper calls so, from instance proposals and embedding map to the final result: fusion and download.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor, load_model
from ciae_ros.inference.host_memory import disable_malloc_trim
from ciae_ros.inference.predictor import DTYPES
from ciae_ros.model import PRESETS, ModelConfig
from training.arguments import positive
from training.data.sample import read_rgb
from training.paper.report import NOTHING, aligned
from training.paper.tables import TABLES, TIMES

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
DEFAULT_PRESETS = ("r50_512", "r50_640", "r50_800")
HEADER = (
    "model",
    "input size",
    "inference mean",
    "median",
    "fusion mean",
    "median",
    "instances",
    "paper: inference",
    "fusion",
)


@dataclass(frozen=True)
class Timing:
    """Of N images."""

    inference: np.ndarray
    """(N,) milliseconds end to end."""
    fusion: np.ndarray
    """(N,) milliseconds, of which it is a part."""
    instances: float
    """Mean number in an image: the more, the longer fusion takes."""


def main(argv: list[str] | None = None) -> int:
    """Time, print; 0 if all has been timed."""
    options = _parse_arguments(argv)
    if options.device == "cpu":
        disable_malloc_trim()
    try:
        paths = image_paths(options.images, options.limit)
        lines = []
        for model, input_size in _cases(options):
            predictor = _predictor(model, input_size, options)
            lines.append(_cells(predictor, time_images(predictor, paths, options.warm_up)))
    except (CheckpointError, ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(
        f"{predictor.device_name}, torch {torch.__version__}, {options.precision}, {date.today().isoformat()}; "
        f"{len(paths)} images of {options.images}, one at a time, after {options.warm_up} to warm up; milliseconds\n"
    )
    print("\n".join(aligned([HEADER, *lines])))
    print("\npaper: Table I, on a 2080 Ti; fusion includes the download of the result")
    if predictor.digest == UNTRAINED:
        print("random weights: they find hardly an instance by themselves, see --score-threshold")
    return 0


def image_paths(folder: Path, limit: int | None) -> list[Path]:
    """The first `limit` image files of a folder, or all of them, in the order of their names.

    Raises:
        ValueError: there is none.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(f"no images in {folder}: name a folder with --images")
    return paths[:limit]


def time_images(predictor: Predictor, paths: list[Path], warm_up: int) -> Timing:
    """Segment `warm_up` images without counting them, then all.

    Raises:
        ValueError: an image is damaged.
    """
    for path in islice(cycle(paths), warm_up):
        predictor.predict(read_rgb(path))
    inference, fusion, instances = [], [], []
    for path in tqdm(paths, unit=" images", desc=_label(predictor), disable=None):
        result, times = predictor.predict_timed(read_rgb(path))
        inference.append(1e3 * sum(astuple(times)))
        fusion.append(1e3 * (times.fusion + times.download))
        instances.append(sum(segment.category.is_thing for segment in result.segments))
    return Timing(np.array(inference), np.array(fusion), float(np.mean(instances)))


def paper_times(config: ModelConfig) -> tuple[float, float] | None:
    """Milliseconds of inference and fusion that Table I has for this backbone and input size, if it has them."""
    table = TABLES["table1"]
    for row in table.rows:
        preset = PRESETS[row.name]
        if all(getattr(config, key) == getattr(preset, key) for key in ("backbone", "deformable_stages", "input_size")):
            inference, fusion = (row.figures[table.columns.index(column)] for column in TIMES)
            return inference, fusion
    return None


def _cases(options: argparse.Namespace) -> Iterator[tuple[str, int | None]]:
    """Names as `load_model` takes them, with input sizes; None: the model's own."""
    models = [options.checkpoint] if options.checkpoint else [f"untrained/{name}" for name in options.preset]
    for model in models:
        for input_size in options.sizes or (None,):
            yield model, input_size


def _predictor(model: str, input_size: int | None, options: argparse.Namespace) -> Predictor:
    torch.manual_seed(0)
    checkpoint = load_model(model)
    settings = checkpoint.settings
    if options.score_threshold is not None:
        settings = replace(settings, score_threshold=options.score_threshold)
    return Predictor(checkpoint, options.device, options.precision, settings, input_size)


def _cells(predictor: Predictor, timing: Timing) -> list[str]:
    means = [(np.mean(values), np.median(values)) for values in (timing.inference, timing.fusion)]
    published = paper_times(predictor.config) or (NOTHING, NOTHING)
    return [
        predictor.name,
        str(predictor.config.input_size),
        *(f"{value:.1f}" for pair in means for value in pair),
        f"{timing.instances:.1f}",
        *map(str, published),
    ]


def _label(predictor: Predictor) -> str:
    return f"{predictor.name} at {predictor.config.input_size}"


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark",
        description="Time inference and fusion on a folder of images, beside the times of the paper's Table I.",
        epilog="example: python -m training.benchmark --checkpoint model.safetensors --sizes 512 640 800 --device cuda",
    )
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", help="a .safetensors file, or a model that comes with the package")
    which.add_argument(
        "--preset",
        nargs="+",
        choices=PRESETS,
        default=DEFAULT_PRESETS,
        metavar="PRESET",
        help=f"random weights; of {', '.join(PRESETS)} (default: {' '.join(DEFAULT_PRESETS)})",
    )
    add(
        "--sizes",
        type=positive,
        nargs="+",
        metavar="N",
        help="shorter sides in the network (default: the model's)",
    )
    add("--images", type=Path, default=Path("data/coco/val2017"), help="folder of images (default: %(default)s)")
    add("--limit", type=positive, metavar="N", help="the first N images only")
    add("--device", type=_device, default="auto", help="cpu, cuda or cuda:N (default: auto: cuda where it is)")
    add("--precision", choices=DTYPES, default="fp32", help="of weights and activations (default: fp32)")
    add("--warm-up", type=int, default=10, metavar="N", help="images beforehand that are not counted (default: 10)")
    add("--score-threshold", type=float, help="instances with a lower score are left out (default: the model's own)")
    return parser.parse_args(argv)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


if __name__ == "__main__":
    sys.exit(main())
