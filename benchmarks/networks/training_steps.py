# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`training-steps`: the parts of a training step on synthetic images, without a data set, by preset and precision."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import Rounds, milliseconds
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference import coco_categories
from ciae_ros.inference.geometry import image_geometry
from ciae_ros.inference.self_test import textured_image
from ciae_ros.inference.stage_times import HostClock
from ciae_ros.model import CIAE, PRESETS
from training.data.target import Target, make_target, stack_targets
from training.engine.precision import AUTOCAST_OF_PRECISION, forward_precision
from training.losses.criterion import LossConfig, training_loss

PARTS = ("forward", "detection loss", "embedding loss", "backward", "optimiser")
NUM_THINGS = 7
"""Things in an image, as in COCO on average."""
LEARNING_RATE = 1e-3
NOTES = [
    "Images of texture with 7 rectangles as things, of a camera of 1080 x 1920 resized as the preset does. Random "
    "weights, of which all are trained; the embedding loss contains its gradient for the embedding map.",
    "Peak memory: torch.cuda.max_memory_allocated; not measured on a CPU.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add, default = parser.add_argument, ("light_512", "r50_512", "r50_800")
    add(
        "--presets", nargs="+", choices=PRESETS, default=default, metavar="PRESET", help=f"default: {' '.join(default)}"
    )
    add(
        "--precisions",
        choices=AUTOCAST_OF_PRECISION,
        nargs="+",
        metavar="P",
        help=f"of {', '.join(AUTOCAST_OF_PRECISION)}: autocasting",
    )
    add("--batch-size", type=positive_int, default=8, help="images of a step (default: 8)")
    add("--image-size", type=positive_int, nargs=2, default=(1080, 1920), metavar=("H", "W"), help="default: 1080 1920")
    add("--input-size", type=positive_int, help="shorter side of the network's input (default: as in the preset)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; what cannot run, such as a batch that needs too much memory, becomes a note."""
    rows = [
        {"preset": preset, "precision": precision} | _measure(preset, precision, options, benchmark_run)
        for preset in options.presets
        for precision in options.precisions or [options.precision]
    ]
    parameters = {"batch_size": options.batch_size, "steps": benchmark_run.rounds.counted}
    return Results("training-steps", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown."""
    header = ["preset", "precision", "input", *(f"{part}, ms" for part in PARTS), "images/s", "peak GB"]
    return markdown_table(header, [_cells(row) for row in results.rows])


def _cells(row: dict[str, Any]) -> list[str]:
    if "note" in row:
        return [row["preset"], row["precision"], row["note"], *[""] * (len(PARTS) + 2)]
    return [
        row["preset"],
        row["precision"],
        "{} x {}".format(*row["input"]),
        *(spread_cell(row["parts"][part]) for part in PARTS),
        number_cell(row["images_per_second"]),
        number_cell(row["peak_bytes"] and row["peak_bytes"] / 1e9),
    ]


def _measure(preset: str, precision: str, options: argparse.Namespace, benchmark_run: BenchmarkRun) -> dict[str, Any]:
    config = PRESETS[preset]
    input_size = options.input_size or config.input_size
    height, width = options.image_size
    size = image_geometry(height, width, input_size, config.max_input_size).padded
    try:
        step = TrainingStep(preset, AUTOCAST_OF_PRECISION[precision], size, options.batch_size, benchmark_run.device)
        return {"input": list(size)} | _timed(step, benchmark_run.rounds, options.batch_size)
    except RuntimeError as error:
        return {"note": f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"}


def _timed(step: TrainingStep, rounds: Rounds, batch_size: int) -> dict[str, Any]:
    for _ in range(rounds.warm_up):
        step.run()
    is_cuda = step.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(step.device)
    times = [step.run() for _ in range(rounds.counted)]
    parts = {part: milliseconds(values) for part, values in zip(PARTS, zip(*times, strict=True), strict=True)}
    return {
        "parts": parts,
        "images_per_second": batch_size * len(times) / sum(map(sum, times)),
        "peak_bytes": torch.cuda.max_memory_allocated(step.device) if is_cuda else None,
    }


class TrainingStep:
    """A network with random weights, its optimiser, and one batch on the device."""

    def __init__(
        self, preset: str, autocast: str, size: tuple[int, int], batch_size: int, device: torch.device
    ) -> None:
        torch.manual_seed(0)
        self.device, self._autocast = device, autocast
        self._model = CIAE(PRESETS[preset]).to(device).to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE, momentum=0.9)
        self._scaler = torch.amp.GradScaler(device.type, enabled=autocast == "fp16")
        image = torch.from_numpy(textured_image(*size)).permute(2, 0, 1).float() / 128 - 1
        images = torch.stack([image.roll(11 * number, dims=2) for number in range(batch_size)])
        self._images = images.to(device, memory_format=torch.channels_last)
        self._target = stack_targets([_target(size, number) for number in range(batch_size)], *size).to(device)

    def run(self) -> list[float]:
        """Run a step; returns the seconds of `PARTS`, on a CUDA device until their completion."""
        model, clock = self._model, HostClock(self.device)
        with forward_precision(self._autocast, self.device):
            outputs = model(self._images)
        clock.lap()
        losses = training_loss(outputs, self._target, model.memory.vectors, model.config, LossConfig(), clock.lap)
        clock.lap()
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(losses.total).backward()
        clock.lap()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        clock.lap()
        return clock.laps


def _target(size: tuple[int, int], seed: int) -> Target:
    """Return the target of one image: rectangles on two stuff classes."""
    height, width = size
    num_stuff = len(coco_categories().stuff)
    generator = torch.Generator().manual_seed(seed)
    segments = torch.zeros(size, dtype=torch.int16)
    segments[height // 2 :] = 1
    for thing in range(NUM_THINGS):
        top, left, tall, wide = torch.rand(4, generator=generator).tolist()
        rows = slice(int(0.7 * top * height), int((0.7 * top + 0.1 + 0.2 * tall) * height))
        columns = slice(int(0.7 * left * width), int((0.7 * left + 0.1 + 0.2 * wide) * width))
        segments[rows, columns] = num_stuff + thing
    classes = torch.randint(len(coco_categories().things), (NUM_THINGS,), generator=generator)
    return make_target(segments, classes, num_stuff)
