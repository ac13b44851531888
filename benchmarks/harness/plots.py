# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Plots of the benchmarks as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from benchmarks.harness.results import Results

INSTANCES_SHOWN = 100
"""Number of instances in the plot by size, if the results contain it."""


class CameraRow(NamedTuple):
    """A load of the node: a number of cameras and a rate, for `plot_cameras`."""

    cameras: int
    offered_rate: float
    """Images per second of each camera."""
    throughput: float
    """Results per second of all cameras together."""
    p50: float
    """Median milliseconds from an image's stamp to its result."""
    p99: float
    """99th percentile of these milliseconds."""
    drops: float
    """Share of dropped images, 0 to 1."""


class _Series(NamedTuple):
    label: str
    x: list[float]
    median: list[float]
    p10: list[float]
    p90: list[float]


def plot(results: Results, folder: Path) -> list[Path]:
    """Plot the results of a subcommand, if it has plots; returns the files."""
    if results.benchmark == "networks":
        return [*plot_networks(results, folder), *plot_network_sizes(results, folder)]
    if results.benchmark == "fusion":
        return [*plot_fusion_by_instances(results, folder), *plot_fusion_by_size(results, folder)]
    if results.benchmark == "roofline":
        return plot_roofline(results, folder)
    if results.benchmark == "node":
        sizes = sorted({tuple(row["size"]) for row in results.rows})
        return [path for size in sizes for path in _plot_node(results, size, folder)]
    return []


def _plot_node(results: Results, size: tuple[int, int], folder: Path) -> list[Path]:
    rows = [
        CameraRow(
            load["cameras"],
            load["offered_rate"] / load["cameras"],
            load["throughput"],
            1e3 * load["p50"],
            1e3 * load["p99"],
            load["drop_share"],
        )
        for row in results.rows
        if tuple(row["size"]) == size
        for load in row["loads"]
    ]
    conditions = results.conditions
    title = f"{results.parameters['model']}, {size[0]} x {size[1]}, {conditions['device']}, {conditions['date']}"
    return plot_cameras(rows, folder, title, f"cameras_{size[0]}x{size[1]}")


def plot_networks(results: Results, folder: Path) -> list[Path]:
    """Plot the end-to-end time of every network by stage."""
    rows = [row for row in results.rows if "end_to_end" in row]
    figure, axes = _axes("networks, batch 1, random weights", "ms, medians", "", results, height=0.5 * len(rows) + 2)
    left = [0.0] * len(rows)
    names = [row["name"] for row in rows]
    for stage in ("preprocess", "network", "postprocess"):
        widths = [row[stage]["median"] for row in rows]
        axes.barh(names, widths, left=left, label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    return _save(figure, axes, folder / "networks")


def plot_network_sizes(results: Results, folder: Path) -> list[Path]:
    """Plot CIAE's latency by input size."""
    rows = {row["name"]: row for row in results.rows if "end_to_end" in row}
    pairs = sorted((int(name.rpartition("_")[2]), row) for name, row in rows.items() if name.startswith("ciae_r50_"))
    figure, axes = _axes("CIAE, ResNet-50", "shorter side in the network, pixels", "ms", results)
    for measure in ("end_to_end", "network", "postprocess"):
        _draw(axes, _series(measure, ((size, row[measure]) for size, row in pairs)))
    return _save(figure, axes, folder / "networks_by_size")


def plot_fusion_by_instances(results: Results, folder: Path) -> list[Path]:
    """Plot the time of fusion by number of instances, with a line for each size and kind of embedding."""
    figure, axes = _axes("fusion", "instances", "ms", results)
    costs = _costs(results)
    for (source, size), rows in _grouped(costs, lambda row: (row["embedding"], tuple(row["size"]))).items():
        label = f"{size[0]} x {size[1]}, {source}"
        _draw(axes, _series(label, ((row["instances"], row["fusion"]) for row in rows)))
    axes.set_yscale("log")
    return _save(figure, axes, folder / "fusion_by_instances")


def plot_fusion_by_size(results: Results, folder: Path) -> list[Path]:
    """Plot the time of fusion by image size, at 100 instances or the nearest number."""
    costs = _costs(results)
    if not costs:
        return []
    asked = min((row["instances_asked"] for row in costs), key=lambda count: abs(count - INSTANCES_SHOWN))
    figure, axes = _axes(f"fusion, target of {asked} instances", "image, megapixels", "ms", results)
    shown = [row for row in costs if row["instances_asked"] == asked]
    for source, rows in _grouped(shown, lambda row: row["embedding"]).items():
        _draw(axes, _series(source, ((row["size"][0] * row["size"][1] / 1e6, row["fusion"]) for row in rows)))
    return _save(figure, axes, folder / "fusion_by_size")


def plot_roofline(results: Results, folder: Path) -> list[Path]:
    """Plot the time of each stage next to its minimum."""
    figure, axes = _axes("time and minimum by the roofline", "", "ms", results, width=10)
    names = [f"{row['case']}\n{row['stage']}" for row in results.rows]
    places = range(len(names))
    axes.bar([place - 0.2 for place in places], [row["time"]["median"] for row in results.rows], 0.4, label="measured")
    axes.bar([place + 0.2 for place in places], [row["minimum"] for row in results.rows], 0.4, label="minimum")
    axes.set_xticks(list(places), names, rotation=90, fontsize=7)
    axes.set_yscale("log")
    return _save(figure, axes, folder / "roofline")


def plot_cameras(rows: Sequence[CameraRow], folder: Path, title: str, name: str = "cameras") -> list[Path]:
    """Plot throughput, latency and drops of the node by the total rate of the cameras.

    Args:
        rows: loads in any order; there is a line for each number of cameras.
        folder: folder for the files.
        title: title with the measured model, device and date.
        name: name of the files without suffix.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    throughput, latency, drops = figure.subplots(1, 3)
    figure.suptitle(title)
    by_rate = sorted(rows, key=lambda row: row.offered_rate)
    for cameras, group in _grouped(by_rate, lambda row: row.cameras).items():
        offered = [cameras * row.offered_rate for row in group]
        label = f"{cameras} camera{'s' if cameras > 1 else ''}"
        throughput.plot(offered, [row.throughput for row in group], marker="o", label=label)
        (line,) = latency.plot(offered, [row.p50 for row in group], marker="o", label=f"{label}, p50")
        p99 = [row.p99 for row in group]
        latency.plot(offered, p99, marker="o", linestyle=":", color=line.get_color(), label=f"{label}, p99")
        drops.plot(offered, [100 * row.drops for row in group], marker="o", label=label)
    for axes, label in ((throughput, "results a second"), (latency, "latency, ms"), (drops, "dropped, %")):
        axes.set_xlabel("images offered a second")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    return _save(figure, latency, folder / name)


def _costs(results: Results) -> list[dict[str, Any]]:
    return [row for row in results.rows if row["kind"] == "cost"]


def _grouped(rows: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _series(label: str, points: Iterable[tuple[float, dict[str, float]]]) -> _Series:
    pairs = sorted(points, key=lambda pair: pair[0])
    columns = ([spread[key] for _, spread in pairs] for key in ("median", "p10", "p90"))
    return _Series(label, [x for x, _ in pairs], *columns)


def _axes(title: str, x: str, y: str, results: Results, width: float = 7, height: float = 4.5) -> tuple[Any, Any]:
    # Without pyplot, which would look for a display.
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    conditions = results.conditions
    axes.set_title(
        f"{title}\n{conditions['device']}, {conditions['precision']}, {conditions['date']}, {conditions['commit']}",
        fontsize=9,
    )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _draw(axes: Any, series: _Series) -> None:
    (line,) = axes.plot(series.x, series.median, marker="o", label=series.label)
    axes.fill_between(series.x, series.p10, series.p90, alpha=0.2, color=line.get_color())


def _save(figure: Any, axes: Any, stem: Path) -> list[Path]:
    axes.legend(fontsize=7)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=120)
    return paths
