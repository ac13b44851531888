# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The folder of a run: results of shards as they finish, and the merged tables."""

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

from ciae_ros.core.text_file import read_text
from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.types import UNREADABLE, ReplayError
from ciae_ros.replay.evaluation.shard_evaluation import ShardResult
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.evaluation.track_linking import ids_in_topic
from ciae_ros.replay.metrics.run_tables import (
    EvaluationRun,
    confusion_table,
    frames_table,
    overlaps_table,
    segments_table,
)

FORMAT = 3
TABLES = {
    "frames": frames_table,
    "segments": segments_table,
    "confusion": confusion_table,
    "overlaps": overlaps_table,
}
TRACK_ENDS = "track_ends"
SAME_RUN = ("format", "kind", "model", "device", "settings", "ground_truth", "inputs", "rate")
"""Keys of run.json that must be equal for a command to resume a run."""


class RunFolderError(ReplayError):
    """A run folder that cannot be used."""


class RunFolder:
    """A run folder that is written to."""

    def __init__(self, path: Path, metadata: dict[str, Any]) -> None:
        """Start or resume a run.

        Args:
            path: created if it does not exist.
            metadata: run.json.

        Raises:
            RunFolderError: the folder contains something else.
            OSError: it cannot be written.
        """
        self.path = path
        self.metadata = {"format": FORMAT} | metadata
        self._check_same_run()
        (path / "shards").mkdir(parents=True, exist_ok=True)
        for unfinished in (path / "shards").glob("*.unfinished"):
            shutil.rmtree(unfinished)
        _write_about(self.path, self.metadata)

    def has(self, shard: Shard) -> bool:
        """Return whether a shard has been evaluated."""
        return self._folder(shard).is_dir()

    def write(self, shard: Shard, result: ShardResult) -> None:
        """Write the result of a shard atomically."""
        folder = self._folder(shard)
        unfinished = folder.with_name(folder.name + ".unfinished")
        unfinished.mkdir()
        for name in (*TABLES, TRACK_ENDS):
            getattr(result, name).to_parquet(unfinished / f"{name}.parquet", index=False)
        metadata = {
            "problems": result.problems,
            "seconds": result.seconds,
            "peak_memory": result.peak_memory,
            "dropped": result.dropped,
        }
        (unfinished / "shard.json").write_text(json.dumps(metadata))
        for name, content in result.label_maps.items():
            (unfinished / name).write_bytes(content)
        _synchronize(unfinished)
        unfinished.replace(folder)

    def finish(self, shards: Iterable[Shard], additions: dict[str, Any]) -> EvaluationRun:
        """Merge the tables of the shards and complete run.json.

        Args:
            shards: all shards of the run in the order of their frames.
            additions: entries for run.json; "problems" precede those of the shards.
        """
        finished = [shard for shard in shards if self.has(shard)]
        tables = {name: self._joined(name, finished) for name in TABLES}
        tables["frames"] = with_time(tables["frames"])
        self._number_tracks(finished, tables)
        for name, table in tables.items():
            table.to_parquet(self.path / f"{name}.parquet", index=False)
        metadata = [json.loads(read_text(self._folder(shard) / "shard.json")) for shard in finished]
        problems = [line for shard_metadata in metadata for line in shard_metadata["problems"]]
        self.metadata |= additions
        # Every shard of a corrupt bag reports the same problem.
        self.metadata["problems"] = list(dict.fromkeys([*additions.get("problems", []), *problems]))
        # Includes the time before an interruption.
        self.metadata["seconds"] = sum(one["seconds"] for one in metadata)
        dropped = sum((Counter(one["dropped"]) for one in metadata), Counter[str]())
        self.metadata["dropped"] = dict(dropped)
        self.metadata["peak_memory"] = max((one["peak_memory"] or 0 for one in metadata), default=0) or None
        _write_about(self.path, self.metadata)
        return read_run(self.path)

    def _joined(self, name: str, shards: list[Shard]) -> pd.DataFrame:
        parts = [pd.read_parquet(self._folder(shard) / f"{name}.parquet") for shard in shards]
        # Empty tables would change the types.
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else TABLES[name]([])

    def _number_tracks(self, shards: list[Shard], tables: dict[str, pd.DataFrame]) -> None:
        """Replace the ids of tracks by ids that are valid in all shards of a topic."""
        topics: dict[tuple[str, str], list[Shard]] = {}
        for shard in shards:
            topics.setdefault((shard.bag, shard.topic), []).append(shard)
        columns = {"segments": "track_id", "overlaps": "predicted_track"}
        for of_topic in topics.values():
            ends = [pd.read_parquet(self._folder(shard) / f"{TRACK_ENDS}.parquet") for shard in of_topic]
            if all(one.empty for one in ends):
                continue
            in_shard = [{name: _rows_of(table, shard) for name, table in tables.items()} for shard in of_topic]
            ids = [
                sorted({one for name, column in columns.items() for one in tables[name].loc[rows[name], column]} - {0})
                for rows in in_shard
            ]
            for rows, mapping in zip(in_shard, ids_in_topic(ids, ends), strict=True):
                for name, column in columns.items():
                    part = tables[name].loc[rows[name], column]
                    tables[name].loc[rows[name], column] = part.map(mapping | {0: 0})

    def _folder(self, shard: Shard) -> Path:
        return self.path / "shards" / shard.name

    def _check_same_run(self) -> None:
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        there = _read_about(self.path)
        differences = [key for key in SAME_RUN if there.get(key) != self.metadata.get(key)]
        if differences:
            other = ", ".join(differences).replace("_", " ")
            raise RunFolderError(
                f"{self.path} contains a run with different {other}: choose another --output, or remove the folder"
            )


def with_metadata(run: EvaluationRun, additions: dict[str, Any]) -> EvaluationRun:
    """Add entries to run.json, on disk and in the returned run."""
    metadata = run.metadata | additions
    _write_about(run.folder, metadata)
    return replace(run, metadata=metadata)


def read_run(folder: Path) -> EvaluationRun:
    """Read a finished run.

    Raises:
        RunFolderError: there is no finished run.
    """
    metadata = _read_about(folder)
    if not all((folder / f"{name}.parquet").is_file() for name in TABLES):
        raise RunFolderError(f"the run in {folder} is not finished: run its command again to resume it")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return EvaluationRun(folder, metadata, CategorySet.from_coco(metadata["categories"]), **tables)


def with_time(frames: pd.DataFrame) -> pd.DataFrame:
    """Add the column `time` to the frames: seconds since the first stamp of each bag, NaN without a stamp."""
    stamps = frames["stamp"].where(frames["problem"] != UNREADABLE)
    first = stamps.groupby(frames["bag"]).transform("min")
    return frames.assign(time=(stamps - first) * 1e-9)


def _rows_of(table: pd.DataFrame, shard: Shard) -> pd.Series:
    """Return the rows of a shard as a mask."""
    is_in_shard = table["index"].between(shard.start, shard.stop, inclusive="left")
    return (table["bag"] == shard.bag) & (table["topic"] == shard.topic) & is_in_shard


def _write_about(folder: Path, metadata: dict[str, Any]) -> None:
    unfinished = folder / "run.json.unfinished"
    unfinished.write_text(json.dumps(metadata, indent=2, allow_nan=False) + "\n")
    unfinished.replace(folder / "run.json")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(read_text(folder / "run.json"))
    except OSError as error:
        raise RunFolderError(
            f"{folder} does not contain a run of python -m ciae_ros.replay: run.json: {error.strerror}"
        ) from None
    except ValueError as error:
        raise RunFolderError(f"{folder} does not contain a run of python -m ciae_ros.replay: {error}") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise RunFolderError(f"{folder} contains a run of another version: evaluate the bags again")
    return metadata


def _synchronize(folder: Path) -> None:
    """Flush the files of a folder to the disk, so that it is complete even after a power failure."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
