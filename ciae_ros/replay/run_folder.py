# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""An evaluation on the disk: units as they are finished, then the whole."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.measures.tables import confusion_table, frames_table, segments_table
from ciae_ros.replay.types import UNREADABLE, ReplayError, Run
from ciae_ros.replay.unit_evaluation import UnitResult
from ciae_ros.replay.units import Unit

FORMAT = 1
TABLES = {"frames": frames_table, "segments": segments_table, "confusion": confusion_table}
SAME_RUN = ("format", "kind", "model", "device", "settings", "ground_truth", "inputs", "rate")
"""What two commands must agree in for the second to go on with the first one's run."""


class RunFolderError(ReplayError):
    """A folder that cannot be used."""


class RunFolder:
    """Where a run is written."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        """Begin a run, or go on with it where it stopped.

        Args:
            path: made if it is not there.
            about: run.json.

        Raises:
            RunFolderError: the folder holds something else.
            OSError: it cannot be written.
        """
        self.path = path
        self.about = {"format": FORMAT} | about
        self._check_same_run()
        (path / "units").mkdir(parents=True, exist_ok=True)
        for unfinished in (path / "units").glob("*.unfinished"):
            shutil.rmtree(unfinished)
        _write_about(self.path, self.about)

    def has(self, unit: Unit) -> bool:
        """Has it been evaluated?"""
        return self._folder(unit).is_dir()

    def write(self, unit: Unit, result: UnitResult) -> None:
        """Keep a unit's result: wholly, or not at all."""
        folder = self._folder(unit)
        unfinished = folder.with_name(folder.name + ".unfinished")
        unfinished.mkdir()
        for name in TABLES:
            getattr(result, name).to_parquet(unfinished / f"{name}.parquet", index=False)
        about = {
            "problems": result.problems,
            "seconds": result.seconds,
            "peak_memory": result.peak_memory,
            "dropped": result.dropped,
        }
        (unfinished / "unit.json").write_text(json.dumps(about))
        for name, content in result.label_maps.items():
            (unfinished / name).write_bytes(content)
        _synchronize(unfinished)
        unfinished.replace(folder)

    def finish(self, units: Iterable[Unit], additions: dict[str, Any]) -> Run:
        """Join the units' tables, and complete run.json.

        Args:
            units: all of the run, in the order in which their frames are to be.
            additions: to run.json; "problems" come before the units' own.
        """
        finished = [unit for unit in units if self.has(unit)]
        tables = {name: self._joined(name, finished) for name in TABLES}
        tables["frames"] = with_time(tables["frames"])
        for name, table in tables.items():
            table.to_parquet(self.path / f"{name}.parquet", index=False)
        about = [json.loads((self._folder(unit) / "unit.json").read_text()) for unit in finished]
        problems = [line for of_unit in about for line in of_unit["problems"]]
        self.about |= additions
        # Each unit of a damaged bag says so.
        self.about["problems"] = list(dict.fromkeys([*additions.get("problems", []), *problems]))
        # What was done before a stop counts too.
        self.about["seconds"] = sum(one["seconds"] for one in about)
        dropped = sum((Counter(one["dropped"]) for one in about), Counter[str]())
        self.about["dropped"] = dict(dropped)
        self.about["peak_memory"] = max((one["peak_memory"] or 0 for one in about), default=0) or None
        _write_about(self.path, self.about)
        return read_run(self.path)

    def _joined(self, name: str, units: list[Unit]) -> pd.DataFrame:
        parts = [pd.read_parquet(self._folder(unit) / f"{name}.parquet") for unit in units]
        # An empty part has no say in the types.
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else TABLES[name]([])

    def _folder(self, unit: Unit) -> Path:
        return self.path / "units" / unit.name

    def _check_same_run(self) -> None:
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        there = _read_about(self.path)
        differences = [key for key in SAME_RUN if there.get(key) != self.about.get(key)]
        if differences:
            other = ", ".join(differences).replace("_", " ")
            raise RunFolderError(
                f"{self.path} holds another run, with other {other}: give another --output, or remove the folder"
            )


def amended(run: Run, additions: dict[str, Any]) -> Run:
    """The run with additions to run.json, which are written."""
    about = run.about | additions
    _write_about(run.folder, about)
    return replace(run, about=about)


def read_run(folder: Path) -> Run:
    """A run that has been finished.

    Raises:
        RunFolderError: there is none.
    """
    about = _read_about(folder)
    if not all((folder / f"{name}.parquet").is_file() for name in TABLES):
        raise RunFolderError(f"the run in {folder} is not finished: give its command again, and it goes on")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return Run(folder, about, CategorySet.from_coco(about["categories"]), **tables)


def with_time(frames: pd.DataFrame) -> pd.DataFrame:
    """The table of frames with its column `time`: seconds since the first stamp of each bag; NaN without a stamp."""
    stamps = frames["stamp"].where(frames["problem"] != UNREADABLE)
    first = stamps.groupby(frames["bag"]).transform("min")
    return frames.assign(time=(stamps - first) * 1e-9)


def _write_about(folder: Path, about: dict[str, Any]) -> None:
    unfinished = folder / "run.json.unfinished"
    unfinished.write_text(json.dumps(about, indent=2, allow_nan=False) + "\n")
    unfinished.replace(folder / "run.json")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder} holds no run of python -m ciae_ros.replay: {error}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RunFolderError(f"{folder} holds a run of another version: evaluate the bags again")
    return about


def _synchronize(folder: Path) -> None:
    """Have the files on the disk, so that a folder that is there after a power cut is whole."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
