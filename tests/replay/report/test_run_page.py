# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Files of a run's report, and the content of its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.tracking import tracking_scores
from ciae_ros.replay.report import write_report
from tests.replay.report.references import Page
from tests.replay.report.synthetic import CATEGORIES, UNUSED_CATEGORY, Drawn, make_run, with_long_table

NASTY = "drive <script>alert('bag')</script> $x$ & \"more\""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluationRun, Drawn, Path]:
    """A run of two bags with ground truth, with a frame without a result, and its report."""
    folder = tmp_path_factory.mktemp("report")
    run, pictures = make_run(folder, {NASTY: 40, "tunnel": 20}, metadata={"problems": [f"{NASTY}: ends early"]})
    run.frames.loc[7, "problem"] = "undecodable"
    run.frames.loc[7, ["latency", "pq", "miou", "changed", "unlabelled", "mean_score"]] = np.nan
    return run, pictures, write_report(run, folder, pictures)


def test_json_has_every_metric_and_no_nan(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    _, _, path = made
    values = json.loads((path.parent / "report.json").read_text(), parse_constant=pytest.fail)
    assert values["summary"]["frames"] == 60
    assert 0 < values["summary"]["pq"] < 100
    assert values["run"]["model"]["name"] == "scenes_light"
    by_name = {row["name"]: row for row in values["classes"]}
    assert by_name["sky"]["tp"] > 0
    assert by_name[UNUSED_CATEGORY]["pq"] is None
    assert len(values["worst_frames"]) == len(values["typical_frames"]) == 6
    assert values["confusions"][0]["share"] > 0


def test_tables_for_programs_have_a_row_for_each_class_and_frame(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    run, _, path = made
    classes = pd.read_csv(path.parent / "classes.csv")
    assert set(classes["name"]) == {category.name for category in CATEGORIES.categories}
    assert {"pq", "sq", "rq", "iou", "tp", "fp", "fn"} <= set(classes.columns)
    frames = pd.read_csv(path.parent / "frames.csv", keep_default_na=False)
    assert list(frames["bag"]) == list(run.frames["bag"])
    assert frames.loc[7, "problem"] == "undecodable"


def test_page_needs_nothing_from_outside(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    page = Page(made[2])
    assert not page.outside
    assert not page.dangling
    assert "http" not in page.text
    assert len(page.ids) == len(set(page.ids))
    assert made[2].stat().st_size < 6_000_000


def test_names_are_text(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    page = Page(made[2])
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(&#39;bag&#39;)&lt;/script&gt; $x$ &amp;" in page.text
    assert page.tags.count("script") == 2  # Its own.


def test_problems_are_on_the_first_screen(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    text = Page(made[2]).text
    first_screen = text[: text.index("<main>")]
    assert "ends early" in first_screen
    assert "1 frame without a result: undecodable" in first_screen


def test_sections_and_their_order(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    text = Page(made[2]).text
    anchors = (
        "quality-over-time",
        "classes",
        "where",
        "confusion",
        "latency",
        "drops",
        "tracking",
        "stability",
        "segments",
        "frames",
    )
    places = [text.index(f'<section id="{anchor}"') for anchor in (*anchors, "all-frames")]
    assert places == sorted(places)
    assert "Left out" not in text


def test_gaps_are_reported_with_their_position(made: tuple[EvaluationRun, Drawn, Path], tmp_path: Path) -> None:
    run, pictures, _ = made
    frames = run.frames.copy()
    frames.loc[(frames["bag"] == "tunnel") & (frames["index"] >= 10), "time"] += 4.25
    text = Page(write_report(replace(run, frames=frames), tmp_path, pictures)).text
    section = text[text.index('<section id="drops"') :]
    section = section[: section.index("</section>")]
    before = frames["time"][(frames["bag"] == "tunnel") & (frames["index"] == 9)].item()
    assert "tunnel" in section
    assert f"{before:.3f}" in section
    assert "Gap, s" in section


def test_points_link_to_images_or_to_the_table(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    page = Page(made[2])
    drawn = page.text[page.text.index('<section id="quality-over-time"') : page.text.index('<section id="classes"')]
    cards = {one for one in page.ids if one.startswith("frame-") and not one.endswith("-title")}
    assert len(cards) == 18
    for card in cards:
        assert f'href="#{card}"' in drawn
    assert 'href="#row-' in drawn
    assert drawn.count("<a ") == 59  # All but the broken one.


def test_identity_switches_link_to_their_frames(made: tuple[EvaluationRun, Drawn, Path]) -> None:
    run, _, path = made
    page = Page(path)
    section = page.text[page.text.index('<section id="tracking"') : page.text.index('<section id="stability"')]
    scores = tracking_scores(run)
    assert scores is not None
    assert len(scores.switches) > 6
    switches = section[section.index("Identity switches") :]
    links = re.findall(r'href="#((?:frame|row)-\d+)"', switches)
    assert len(links) == len(scores.switches)
    assert set(links) <= set(page.ids)
    values = json.loads(path.with_name("report.json").read_text())
    assert len(values["tracking"]["switches"]) == values["summary"]["switches"] == len(links)
    assert f"HOTA</span>\n<strong>{values['summary']['hota']:.1f}" in page.text


def test_without_ground_truth(tmp_path: Path) -> None:
    run, pictures = make_run(tmp_path, {"night": 20}, truth=False)
    page = Page(write_report(run, tmp_path, pictures))
    assert "no ground truth was given" in page.text
    assert "Temporal change" in page.text
    assert 'id="classes"' not in page.text
    assert 'id="frames"' in page.text
    assert 'data-kind="truth"' not in page.text
    assert not page.dangling
    assert json.loads((tmp_path / "report.json").read_text())["summary"]["pq"] is None


def test_without_frames(tmp_path: Path) -> None:
    run, pictures = make_run(tmp_path, {"empty": 0})
    page = Page(write_report(run, tmp_path, pictures))
    assert "the run has no frames" in page.text
    assert not page.dangling
    json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)


def test_every_frame_broken(tmp_path: Path) -> None:
    run, pictures = make_run(tmp_path, {"broken": 5}, truth=False)
    unknown = ["latency", "changed", "unlabelled", "mean_score", "pq", "miou"]
    frames = run.frames.assign(problem="undecodable", segments=0, things=0, **dict.fromkeys(unknown, np.nan))
    page = Page(write_report(replace(run, frames=frames, segments=run.segments[:0]), tmp_path, pictures))
    assert "no frame has a result" in page.text
    assert "5 frames without a result: undecodable" in page.text


def test_unreadable_images(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path, {"moved": 10})
    page = Page(write_report(run, tmp_path, Drawn({}, truth=True, jitter=1.0)))
    assert "the image of no frame can be read again" in page.text
    assert not page.dangling


def test_long_runs_are_listed_in_part(tmp_path: Path) -> None:
    run, pictures = make_run(tmp_path, {"long": 30})
    path = write_report(with_long_table(run, 3000), tmp_path, pictures)
    page = Page(path)
    assert sum(one.startswith("row-") for one in page.ids) == 2000
    assert "of 3\u202f000 frames; frames.csv has all of them" in page.text
    assert len(pd.read_csv(tmp_path / "frames.csv")) == 3000
    assert not page.dangling
    assert path.stat().st_size < 6_000_000


def test_run_through_the_node_shows_its_cost(tmp_path: Path) -> None:
    lock_step = {"pq": 80.0, "latency_p50": 0.03, "fps": None}
    metadata = {"kind": "node", "rate": 2.0, "dropped": {"newer frame": 3}, "lock_step": lock_step}
    run, pictures = make_run(tmp_path, {"live": 20}, metadata=metadata)
    run.frames.loc[2:5, "problem"] = "no answer"
    page = Page(write_report(run, tmp_path, pictures))
    assert "newer frame" in page.text
    assert "lost in transport" in page.text
    assert "Cost of drops and latency" in page.text
    assert ">80.0<" in page.text
    assert "2.0 times the recorded rate" in page.text
    assert "4 frames without a result" not in page.text[: page.text.index("<main>")]
