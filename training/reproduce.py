# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Train and evaluate the rows of the paper's tables: `python -m training.reproduce table8 [key=value ...]`.

Each row has a file in config/training/paper; rows of the same model share it and its training, OUTPUT/NAME-seedN. The
same command resumes a stopped training and skips what is complete. On several GPUs, train first as follows; this
command then evaluates:

    torchrun --nproc-per-node 8 -m training.train --config config/training/paper/NAME.yaml --output OUTPUT/NAME-seed0 \
        seed=0 data.val=null
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference.proposals.duplicates import OFF
from training.config import ConfigError, TrainingConfig
from training.engine.schedule import scaled_schedule
from training.paper.beyond import BEYOND
from training.paper.rows import TEST_DEV_INFO, Outcome, StoppedError, config_path, reproduce_row, row_config
from training.paper.table_format import CostEstimate, format_table
from training.paper.tables import TABLES, PaperRow

SCALES = ("full", "small")
KNOWN = TABLES | {"beyond": BEYOND}
"""The tables by their names."""
DATA_SOURCES = {
    "full": "download it from https://cocodataset.org/#download, or give the location of COCO with --data-root DIR",
    "small": "python -m training.convert_camvid <CamVid> out/data/camvid creates it, or give --data-root DIR",
}


class MissingDataError(Exception):
    """A file that training or evaluation needs is missing; the message says which one and how to obtain it."""


def main(argv: list[str] | None = None) -> int:
    """Reproduce the rows, print and write their tables; returns 0 if no row failed."""
    options = _parse_arguments(sys.argv[1:] if argv is None else argv)
    try:
        selected = _selected(options)
        if options.list:
            _print_plan(selected, options)
            return 0
        _check_data(selected, options)
        outcomes = [_reproduce(table, rows, options) for table, rows in selected.items()]
    except (ConfigError, MissingDataError, StoppedError) as error:
        return report_failure("reproduce", error)
    return 1 if any(outcome.failed for table_outcomes in outcomes for outcome in table_outcomes) else 0


def _selected(options: argparse.Namespace) -> dict[str, list[PaperRow]]:
    """Return the selected rows by table; rows that do not exist at small scale are reported and skipped.

    Raises:
        ConfigError: a row does not exist.
    """
    names = list(TABLES) if "all" in options.tables else list(dict.fromkeys(options.tables))
    known = [row.name for name in names for row in KNOWN[name].rows]
    unknown = [row for row in options.rows or () if row not in known]
    if unknown:
        raise ConfigError(f"row {unknown[0]!r} does not exist; the rows are {', '.join(known)}")
    selected = {}
    for name in names:
        rows = [row for row in KNOWN[name].rows if not options.rows or row.name in options.rows]
        for row in rows if options.scale == "small" else ():
            if row.not_small:
                print(f"{name}, {row.name}: skipped at small scale: {row.not_small}")
        rows = [row for row in rows if options.scale == "full" or not row.not_small]
        if rows:
            selected[name] = rows
    return selected


def _print_plan(selected: dict[str, list[PaperRow]], options: argparse.Namespace) -> None:
    estimate = CostEstimate(options.tflops, len(options.seeds))
    for name, rows in selected.items():
        configs = {row: (_shown(config_path(row, _is_small(options))), _config(row, options)) for row in rows}
        print(estimate.table(KNOWN[name], configs), end="\n\n")
    print(estimate.summary())


def _check_data(selected: dict[str, list[PaperRow]], options: argparse.Namespace) -> None:
    """Check that all data exist before any row is trained.

    Raises:
        MissingDataError: a file is missing.
        ConfigError: a configuration is invalid or has no evaluation data.
    """
    for rows in selected.values():
        for row in rows:
            data = _config(row, options).data
            if data.val is None:
                raise ConfigError("data.val: required for the evaluation")
            evaluated = data.val.with_name(TEST_DEV_INFO) if row.evaluation.test_dev else data.val
            for path in (data.train, evaluated):
                if not path.is_file():
                    raise MissingDataError(f"{path} is missing: {DATA_SOURCES[options.scale]}")


def _reproduce(name: str, rows: list[PaperRow], options: argparse.Namespace) -> list[Outcome]:
    """Reproduce the rows of a table, print it and write it to OUTPUT/NAME.md."""
    outcomes: dict[str, list[Outcome]] = {}
    for row in rows:
        for seed in options.seeds:
            folder = _output(options) / f"{config_path(row, _is_small(options)).stem}-seed{seed}"
            print(f"{name}, {row.name}, seed {seed}: {folder}", flush=True)
            outcome = reproduce_row(row, _config(row, options, seed), folder)
            if outcome.failed:
                print(f"reproduce: {name}, {row.name}, seed {seed}: {outcome.note}", file=sys.stderr)
            outcomes.setdefault(row.name, []).append(outcome)
    text = format_table(KNOWN[name], outcomes, _conditions(rows, options))
    print(f"\n{text}")
    _output(options).mkdir(parents=True, exist_ok=True)
    (_output(options) / f"{name}.md").write_text(text, encoding="utf-8")
    return [outcome for row_outcomes in outcomes.values() for outcome in row_outcomes]


def _conditions(rows: list[PaperRow], options: argparse.Namespace) -> str:
    config = _config(rows[0], options)
    seeds = f"seed{'s' if len(options.seeds) > 1 else ''} {', '.join(map(str, options.seeds))}"
    iterations = scaled_schedule(config.optimization).iterations
    trained = f"{iterations} iterations of {config.optimization.batch_size} images from {config.data.train}"
    measured = f"Measured: {trained}, {seeds}, evaluated on {config.data.val}, {_thresholds(config)}."
    if not _is_small(options):
        return measured
    return (
        f"{measured} Small scale: the light preset, other data and a short schedule. The scores cannot be compared "
        "with the paper's, only the signs of the differences."
    )


def _thresholds(config: TrainingConfig) -> str:
    if config.data.calibration_images:
        return f"thresholds chosen for each model on {config.data.calibration_images} held-out training images"
    duplicates = config.inference.duplicate_similarity
    return "duplicates not suppressed" if duplicates == OFF else f"duplicates suppressed above {duplicates}"


def _config(row: PaperRow, options: argparse.Namespace, seed: int = 0) -> TrainingConfig:
    config = row_config(row, _is_small(options), [*options.overrides, f"seed={seed}"])
    if options.data_root is None:
        return config
    root, data = options.data_root / "annotations", config.data
    moved = {"train": root / data.train.name, "val": data.val and root / data.val.name}
    return config.model_copy(update={"data": data.model_copy(update=moved)})


def _is_small(options: argparse.Namespace) -> bool:
    return bool(options.scale == "small")


def _output(options: argparse.Namespace) -> Path:
    return options.output or Path("out/reproduce") / options.scale


def _shown(path: Path) -> Path:
    """Return the path relative to the working directory."""
    return Path(os.path.relpath(path))


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.reproduce",
        description="Train and evaluate rows of the paper's Tables I to X, or of the changes beyond them, and compare "
        "them with the paper's results.",
        epilog="example: python -m training.reproduce table8 --rows All 1.5 --seeds 0 1 optimization.batch_size=8",
    )
    add = parser.add_argument
    add(
        "tables",
        nargs="+",
        choices=(*KNOWN, "all"),
        metavar="TABLE",
        help=f"{', '.join(KNOWN)}, or all: those of the paper",
    )
    add("--list", action="store_true", help="only list the rows and the estimated cost")
    add("--scale", choices=SCALES, default="full", help="small: the light preset on CamVid (default: full)")
    add("--seeds", type=int, nargs="+", default=[0], help="seeds that each row is trained with (default: 0)")
    add("--rows", nargs="+", help="only these rows, by their names in --list")
    add("--data-root", type=Path, metavar="DIR", help="folder that contains annotations/ (default: as configured)")
    add("--output", type=Path, metavar="DIR", help="folder to write to (default: out/reproduce/SCALE)")
    add("--tflops", type=float, default=20.0, help="throughput of a GPU in TFLOP/s, for --list (default: 20)")
    # Removed first, because options with several values would consume them.
    overrides = [argument for argument in argv if "=" in argument and not argument.startswith("-")]
    parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [key=value ...]"
    options = parser.parse_args([argument for argument in argv if argument not in overrides])
    options.overrides = overrides
    return options


if __name__ == "__main__":
    sys.exit(main())
