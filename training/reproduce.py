# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Train and evaluate the rows of the paper's tables: `python -m training.reproduce table8 [key=value ...]`.

Each row has a file in config/training/paper; rows of the same model share it and its training, OUTPUT/NAME-seedN. What
is done is not done again, and what was stopped goes on by the same command. On several GPUs train first, and this then
evaluates:

    torchrun --nproc-per-node 8 -m training.train --config config/training/paper/NAME.yaml --output OUTPUT/NAME-seed0 \
        seed=0 data.val=null
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from training.config import ConfigError, TrainingConfig
from training.paper.report import Plan, format_table
from training.paper.rows import TEST_DEV_INFO, Outcome, StoppedError, config_path, reproduce_row, row_config
from training.paper.tables import TABLES, Row, Table
from training.schedule import scaled_schedule

SCALES = ("full", "small")
DATA_SOURCES = {
    "full": "https://cocodataset.org/#download has it; --data-root DIR if COCO is elsewhere",
    "small": "python -m training.data.camvid <CamVid> out/data/camvid makes it; --data-root DIR if it is elsewhere",
}


class MissingDataError(Exception):
    """A file that training or evaluation needs; the message says which one, and where it comes from."""


def main(argv: list[str] | None = None) -> int:
    """Reproduce, print, write; 0 if no row failed."""
    options = _parse_arguments(sys.argv[1:] if argv is None else argv)
    try:
        selected = _selected(options)
        if options.list:
            _print_plan(selected, options)
            return 0
        _check_data(selected, options)
        outcomes = [_reproduce(table, rows, options) for table, rows in selected.items()]
    except (ConfigError, MissingDataError, StoppedError) as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 1
    return 1 if any(outcome.failed for of_table in outcomes for outcome in of_table) else 0


def _selected(options: argparse.Namespace) -> dict[str, list[Row]]:
    """By table, the rows that are wanted; those that are none at small scale are named and left out.

    Raises:
        ConfigError: no table has a row of such a name.
    """
    names = list(TABLES) if "all" in options.tables else list(dict.fromkeys(options.tables))
    known = [row.name for name in names for row in TABLES[name].rows]
    unknown = [row for row in options.rows or () if row not in known]
    if unknown:
        raise ConfigError(f"there is no row {unknown[0]!r}, but {', '.join(known)}")
    selected = {}
    for name in names:
        rows = [row for row in TABLES[name].rows if not options.rows or row.name in options.rows]
        for row in rows if options.scale == "small" else ():
            if row.not_small:
                print(f"{name}, {row.name}: skipped at small scale: {row.not_small}")
        rows = [row for row in rows if options.scale == "full" or not row.not_small]
        if rows:
            selected[name] = rows
    return selected


def _print_plan(selected: dict[str, list[Row]], options: argparse.Namespace) -> None:
    plan = Plan(options.tflops, len(options.seeds))
    for name, rows in selected.items():
        of_rows = {row: (_shown(config_path(row, _is_small(options))), _config(row, options)) for row in rows}
        print(plan.table(TABLES[name], of_rows), end="\n\n")
    print(plan.summary())


def _check_data(selected: dict[str, list[Row]], options: argparse.Namespace) -> None:
    """Better now than after days of training other rows.

    Raises:
        MissingDataError: a file is not there.
        ConfigError: a configuration is wrong, or has nothing to evaluate on.
    """
    for rows in selected.values():
        for row in rows:
            data = _config(row, options).data
            if data.val is None:
                raise ConfigError("data.val: the file to evaluate on is needed")
            evaluated = data.val.with_name(TEST_DEV_INFO) if row.evaluation.test_dev else data.val
            for path in (data.train, evaluated):
                if not path.is_file():
                    raise MissingDataError(f"{path} is missing: {DATA_SOURCES[options.scale]}")


def _reproduce(name: str, rows: list[Row], options: argparse.Namespace) -> list[Outcome]:
    """Do the rows of a table, print it and write it to OUTPUT/NAME.md."""
    outcomes: dict[str, list[Outcome]] = {}
    for row in rows:
        for seed in options.seeds:
            folder = _output(options) / f"{config_path(row, _is_small(options)).stem}-seed{seed}"
            print(f"{name}, {row.name}, seed {seed}: {folder}", flush=True)
            outcome = reproduce_row(row, _config(row, options, seed), folder)
            if outcome.failed:
                print(f"reproduce: {name}, {row.name}, seed {seed}: {outcome.note}", file=sys.stderr)
            outcomes.setdefault(row.name, []).append(outcome)
    text = format_table(TABLES[name], outcomes, _conditions(TABLES[name], rows, options))
    print(f"\n{text}")
    _output(options).mkdir(parents=True, exist_ok=True)
    (_output(options) / f"{name}.md").write_text(text)
    return [outcome for of_row in outcomes.values() for outcome in of_row]


def _conditions(table: Table, rows: list[Row], options: argparse.Namespace) -> str:
    config = _config(rows[0], options)
    seeds = f"seed{'s' if len(options.seeds) > 1 else ''} {', '.join(map(str, options.seeds))}"
    iterations = scaled_schedule(config.optimization).iterations
    trained = f"{iterations} iterations of {config.optimization.batch_size} images from {config.data.train}"
    measured = f"Measured: {trained}, {seeds}, evaluated on {config.data.val}."
    if not _is_small(options):
        return measured
    return (
        f"{measured} Small scale: the light preset, other data and a short schedule. The figures cannot be compared "
        "with the paper's, only the signs of the differences."
    )


def _config(row: Row, options: argparse.Namespace, seed: int = 0) -> TrainingConfig:
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
    """As one would type it."""
    return Path(os.path.relpath(path))


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.reproduce",
        description="Train and evaluate rows of the paper's Tables I to X and print them beside the paper's figures.",
        epilog="example: python -m training.reproduce table8 --rows All 1.5 --seeds 0 1 optimization.batch_size=8",
    )
    add = parser.add_argument
    add("tables", nargs="+", choices=(*TABLES, "all"), metavar="TABLE", help=f"{', '.join(TABLES)}, or all")
    add("--list", action="store_true", help="only say what would be done, and what it would take")
    add("--scale", choices=SCALES, default="full", help="small: the light preset on CamVid (default: full)")
    add("--seeds", type=int, nargs="+", default=[0], help="train each row with each of these (default: 0)")
    add("--rows", nargs="+", help="only these rows, named as --list does")
    add("--data-root", type=Path, metavar="DIR", help="folder that holds annotations/ (default: as configured)")
    add("--output", type=Path, metavar="DIR", help="folder to write to (default: out/reproduce/SCALE)")
    add("--tflops", type=float, default=20.0, help="1e12 operations per second of a GPU, for --list (default: 20)")
    # Taken out beforehand, or the options with several values would swallow them.
    overrides = [argument for argument in argv if "=" in argument and not argument.startswith("-")]
    parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [key=value ...]"
    options = parser.parse_args([argument for argument in argv if argument not in overrides])
    options.overrides = overrides
    return options


if __name__ == "__main__":
    sys.exit(main())
