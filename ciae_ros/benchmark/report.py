"""What a benchmark has measured, with what is needed to believe it: device, date, commit, command."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

Row = Mapping[str, Any]


def circumstances(device: str) -> dict[str, object]:
    """Of this run."""
    on_cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device)
        if on_cuda
        else f"{_processor()}, {torch.get_num_threads()} threads",
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "commit": _commit(),
        "command": " ".join(["python -m ciae_ros.benchmark", *sys.argv[1:]]),
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }


def write_report(folder: Path, name: str, rows: Sequence[Row], device: str) -> Path:
    """Write `name`.json below the folder, and print the rows as a Markdown table."""
    folder.mkdir(parents=True, exist_ok=True)
    about = circumstances(device)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"about": about, "rows": list(rows)}, indent=1))
    print(f"\n{name}: {about['device']}, {about['date']}, commit {about['commit']}, torch {about['torch']}")
    print(f"`{about['command']}`\n\n{markdown_table(rows)}\n")
    return path


def markdown_table(rows: Sequence[Row]) -> str:
    """A table with the first row's keys as its head; what a row does not have stays empty."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([_cell(row.get(key)) for key in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and the 10th and 90th percentile, in milliseconds."""
    p10, p50, p90 = np.percentile(np.asarray(seconds) * 1e3, [10, 50, 90])
    return {"median": float(p50), "p10": float(p10), "p90": float(p90)}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
