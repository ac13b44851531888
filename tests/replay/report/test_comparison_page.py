# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Files of a comparison, and the content of its page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ciae_ros.replay.metrics.paired_comparison import ComparisonError
from ciae_ros.replay.report import write_comparison
from tests.replay.report.references import Page
from tests.replay.report.synthetic import Drawn, make_run

NASTY = "drive <script>alert(1)</script>"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that compares a run with a better one on another device."""
    folder = tmp_path_factory.mktemp("comparison")
    a, images_a = make_run(folder / "a", {NASTY: 40, "tunnel": 20}, jitter=1.5)
    b, images_b = make_run(folder / "b", {NASTY: 40, "tunnel": 20}, jitter=0.3, metadata={"device": "another CPU"})
    return write_comparison(a, b, folder, images_a, images_b)


def test_json_contains_the_differences(path: Path) -> None:
    values = json.loads(path.with_suffix(".json").read_text(), parse_constant=pytest.fail)
    pq = values["deltas"]["pq"]
    assert pq["delta"] == pytest.approx(pq["b"] - pq["a"])
    assert pq["low"] <= pq["delta"] <= pq["high"]
    assert pq["delta"] > 0
    assert values["wins"] + values["losses"] + values["ties"] == values["frames"] == 60
    assert values["b"]["device"] == "another CPU"


def test_csv_has_a_row_for_each_frame(path: Path) -> None:
    frames = pd.read_csv(path.with_suffix(".csv"))
    assert len(frames) == 60
    assert {"bag", "topic", "index", "pq_a", "pq_b", "delta"} <= set(frames.columns)


def test_page_needs_nothing_from_outside(path: Path) -> None:
    page = Page(path)
    assert not page.outside
    assert not page.dangling
    assert "http" not in page.text
    assert len(page.ids) == len(set(page.ids))
    assert path.stat().st_size < 6_000_000
    assert "<script>alert" not in page.text


def test_page_warns_of_incomparable_runs(path: Path) -> None:
    text = Page(path).text
    assert "different devices" in text[: text.index("<main>")]


def test_better_and_worse_frames_have_images_of_both_runs(path: Path) -> None:
    text = Page(path).text
    won = text[text.index("Won by most") : text.index('<section id="all-frames"')]
    for kind in ("image", "truth", "prediction-a", "prediction-b", "error-a", "error-b"):
        assert f'<figure data-kind="{kind}"' in won


def test_significant_differences_are_marked(path: Path) -> None:
    text = Page(path).text
    assert '<strong class="better">+' in text[: text.index("<main>")]


def test_without_ground_truth(tmp_path: Path) -> None:
    a, images_a = make_run(tmp_path / "a", {"night": 12}, truth=False)
    b, images_b = make_run(tmp_path / "b", {"night": 12}, truth=False)
    page = Page(write_comparison(a, b, tmp_path / "c", images_a, images_b))
    assert "no scored frame in common" in page.text
    assert "Latency p50" in page.text
    assert not page.dangling


def test_runs_of_different_bags(tmp_path: Path) -> None:
    a, _ = make_run(tmp_path / "a", {"one": 6})
    b, _ = make_run(tmp_path / "b", {"two": 6})
    nothing = Drawn({}, truth=True, jitter=1.0)
    with pytest.raises(ComparisonError, match="no frame in common"):
        write_comparison(a, b, tmp_path / "c", nothing, nothing)
