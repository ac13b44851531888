# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`training`: images a second, peak memory and shares of a training step, for some presets."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ciae_ros.benchmark.measuring import milliseconds
from ciae_ros.benchmark.options import Run
from ciae_ros.benchmark.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from ciae_ros.model import PRESETS
from training.config import load_config
from training.data.sample import DataError
from training.speed import DATA_WAIT, TrainingSpeed, measure_speed
from training.training_step import EMBEDDING_LOSS

DEFAULT_PRESETS = ("light_512", "r50_512", "r50_800")
AUTOCAST = {"fp32": "none", "fp16": "fp16", "bf16": "bf16"}
NOTES = [
    "Each preset in a process of its own, with random weights, the configuration's data, augmentation at the preset's "
    "size, and the configuration's batch and workers. A round is a step of a training: loading, forward, "
    "losses, backward, optimiser with schedule, memory update and average of weights.",
    "Waiting for data is what the step waits for the loader, the upload included. The CIAE loss is that of the "
    "embedding, category- and instance-aware parts, with its gradient for the embedding map; what flows back from "
    "there is in backward. Shares are of the medians.",
    "Peak memory: CUDA: torch.cuda.max_memory_allocated; CPU: growth of the process's resident memory, without the "
    "loader's workers.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add = parser.add_argument
    add("--config", type=Path, default=Path("config/training/coco.yaml"), help="default: %(default)s")
    add("--presets", nargs="+", choices=PRESETS, default=DEFAULT_PRESETS, metavar="PRESET", help="which of them")
    add("--set", nargs="+", default=[], metavar="key=value", help="changes to the configuration, of data for example")


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Measure.

    Raises:
        ValueError: the configuration or the data cannot be used.
    """
    rows = [_row(preset, options, run_of) for preset in options.presets]
    parameters = {"config": str(options.config), "changes": options.set, "steps": run_of.rounds.counted}
    return Results("training", run_of.conditions, parameters, rows, NOTES)


def _row(preset: str, options: argparse.Namespace, run_of: Run) -> dict[str, Any]:
    overrides = _overrides(preset, options)
    # A process of its own: the peak of its memory is that of this preset alone.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        task = pool.submit(_measure, options.config, overrides, run_of.rounds.counted, run_of.rounds.warm_up)
        try:
            speed = task.result()
        except (DataError, OSError) as error:
            raise ValueError(f"{preset}: {error}") from None
        except RuntimeError as error:
            # Too large for the device, most likely: the other presets may fit.
            return {"preset": preset, "note": f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"}
    row = {"preset": preset, "overrides": overrides} | asdict(speed)
    row["parts"] = {name: milliseconds(values) for name, values in row.pop("seconds").items()}
    return row


def _measure(path: Path, overrides: list[str], steps: int, warm_up: int) -> TrainingSpeed:
    return measure_speed(load_config(path, overrides), steps, warm_up)


def _overrides(preset: str, options: argparse.Namespace) -> list[str]:
    config = PRESETS[preset]
    return [
        "pretrained=null",
        f"device={options.device}",
        f"optimization.autocast={AUTOCAST[options.precision]}",
        f"model.preset={preset}",
        f"augmentation.shorter_side=[{config.input_size}, {config.input_size}]",
        f"augmentation.longer_side={config.max_input_size}",
        *options.set,
    ]


def table(results: Results) -> str:
    """In Markdown."""
    header = ["preset", "batch", "largest input", "instances an image", "images/s", "peak MB", DATA_WAIT, "CIAE loss"]
    header += ["forward ms", f"{EMBEDDING_LOSS} ms", "backward ms"]
    return markdown_table(header, [_cells(row) for row in results.rows])


def _cells(row: dict[str, Any]) -> list[str]:
    if "note" in row:
        return [row["preset"], row["note"], *[""] * 9]
    peak = row["peak_memory_bytes"]
    return [
        row["preset"],
        str(row["batch_size"]),
        "{} x {}".format(*row["largest"]),
        number_cell(row["instances"]),
        number_cell(row["images_per_second"], 2),
        number_cell(peak / 2**20, 0) if peak else NOT_MEASURED,
        f"{row['shares'][DATA_WAIT]:.1%}",
        f"{row['shares'][EMBEDDING_LOSS]:.1%}",
        *(spread_cell(row["parts"][part]) for part in ("forward", EMBEDDING_LOSS, "backward")),
    ]
