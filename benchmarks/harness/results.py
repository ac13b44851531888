# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results of a benchmark as JSON, with the conditions of the measurement, and as Markdown made from the JSON alone."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.timing import Spread

NOT_MEASURED = "not yet measured"


@dataclass(frozen=True)
class Results:
    """Results of one benchmark."""

    benchmark: str
    """Name of the benchmark."""
    conditions: dict[str, Any]
    """Result of `describe_run`."""
    parameters: dict[str, Any]
    """Parameters of the benchmark: sizes, rounds and so on."""
    rows: list[dict[str, Any]]
    """Times in milliseconds, as `Spread` if there are several; a row without times has a `note`."""
    notes: list[str] = field(default_factory=list)
    """Explanations of the results, one sentence each."""

    def write(self, folder: Path) -> Path:
        """Write NAME.json into a folder, which is created if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.benchmark}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read results written by `write`.

        Raises:
            ValueError: the file does not contain results.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not contain results of a benchmark: {error}") from None


def describe_run(device: torch.device, precision: str, arguments: list[str]) -> dict[str, Any]:
    """Return device, software versions, date, commit and command of this run."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "torchvision": metadata.version("torchvision"),
        "date": date.today().isoformat(),
        "commit": _commit(),
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
    }


def device_name(device: torch.device) -> str:
    """Return the name of a CUDA device, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sentence(conditions: dict[str, Any]) -> str:
    """Format the conditions as a sentence above a table."""
    return (
        f"{conditions['device']}, {conditions['threads']} threads, {conditions['precision']}, torch "
        f"{conditions['torch']}, commit {conditions['commit']}, {conditions['date']}: `{conditions['command']}`"
    )


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread_cell(spread: Spread | None, digits: int = 1) -> str:
    """Format median, 10th and 90th percentile, as in 12.3 (11.8-14.0)."""
    if spread is None:
        return ""
    return f"{spread['median']:.{digits}f} ({spread['p10']:.{digits}f}-{spread['p90']:.{digits}f})"


def number_cell(value: float | None, digits: int = 1) -> str:
    """Format a number; empty if there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def _commit() -> str:
    """Return the commit of this checkout, with "+" if it has uncommitted changes."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
