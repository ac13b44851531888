# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The paper's tables: their published results, configurations, and lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciae_ros.model import PRESETS
from training.config import TrainingConfig, load_config
from training.paper import table_format
from training.paper.cost import forward_flops, training_gpu_hours
from training.paper.rows import CONFIGS, PAPER_CONFIGS, SMALL, Outcome, row_config
from training.paper.table_format import format_table
from training.paper.tables import TABLES, PaperRow
from training.reproduce import main

LONG = {
    "augmentation.shorter_side": (640, 800),
    "optimization.iterations": 180_000,
    "optimization.milestones": (120_000, 160_000),
}
R101, DCN = {"model.backbone": "resnet101"}, {"model.deformable_stages": 3}
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "table1_r50": LONG,
    "table1_r101": LONG | R101,
    "table1_r101_dcn": LONG | R101 | DCN,
    "table1_x101_dcn": LONG | {"model.backbone": "resnext101_64x4d"} | DCN,
    "table3_inconsistent": {"model.semantic_branch": True},
    "table4_per_class": {"model.memory_of_things": "per_class"},
    "table4_class_agnostic": {
        "model.memory_of_things": "per_class",
        "model.class_agnostic_detector": True,
        "model.instance_category": "embedding",
    },
    "table4_no_things": {"model.memory_of_things": "none"},
    "table5_r101": R101,
    "table6_neither": {"model.coord_conv": False, "model.box_embedding": False},
    "table6_coord_conv": {"model.box_embedding": False},
    "table6_box_embedding": {"model.coord_conv": False},
    "table7_momentum_0": {"memory.momentum": 0.0, "memory.rising": False},
    "table7_momentum_0.99": {"memory.momentum": 0.99, "memory.rising": False},
    "table7_momentum_0.999": {"memory.momentum": 0.999, "memory.rising": False},
    "table7_momentum_0.9999": {},
    "table7_momentum_0.99999": {"memory.momentum": 0.99999, "memory.rising": False},
    "table8_box_all": {"embedding_loss.box_expansion": None},
    "table8_box_2.0": {"embedding_loss.box_expansion": 2.0},
    "table8_box_1.2": {"embedding_loss.box_expansion": 1.2},
    "table8_box_1.0": {"embedding_loss.box_expansion": 1.0},
    "table9_margin_0.30": {"embedding_loss.margin": 0.30},
    "table9_margin_0.20": {"embedding_loss.margin": 0.20},
    "table9_margin_0.10": {"embedding_loss.margin": 0.10},
    "table9_margin_0.00": {"embedding_loss.margin": 0.0},
    "table10_dim_48": {"model.embedding_dim": 48},
    "table10_dim_24": {"model.embedding_dim": 24},
    "table10_dim_16": {"model.embedding_dim": 16},
}
"""Differences of each file of config/training/paper from the paper's default."""


def row_of(table: str, name: str) -> PaperRow:
    (row,) = (row for row in TABLES[table].rows if row.name == name)
    return row


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def values_of(config: TrainingConfig) -> dict[str, Any]:
    """Return all values of a configuration and its model by dotted key, except the name."""
    values = config.model_dump()
    del values["name"], values["model"]
    return dict(flat(values)) | dict(flat(config.model_for(53, 80).to_dict(), "model."))


def differences(config: TrainingConfig, other: TrainingConfig) -> dict[str, Any]:
    """Return the values of `config` that differ from another configuration."""
    values, others = values_of(config), values_of(other)
    assert values.keys() == others.keys()
    return {key: value for key, value in values.items() if value != others[key]}


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_loads(path: Path) -> None:
    assert load_config(path, []).name == path.name.removesuffix(".yaml")


def test_files_and_rows_belong_together() -> None:
    files = {path.name.removesuffix(".yaml") for path in PAPER_CONFIGS.glob("*.yaml")}
    rows = [row for table in TABLES.values() for row in table.rows]
    assert files == set(CHANGES) == {name for row in rows for name in (row.config, row.small_config) if name}


def test_default_is_the_papers() -> None:
    default = load_config(PAPER_CONFIGS / "default.yaml", [])
    assert default.model_for(53, 80) == PRESETS["r50_800"]
    data = {"train": default.data.train, "val": default.data.val}
    minimal = TrainingConfig.model_validate({"name": "minimal", "data": data})
    assert differences(default, minimal) == {"inference.duplicate_similarity": 1.0}


@pytest.mark.parametrize("name", CHANGES)
def test_row_differs_from_the_default_as_in_its_table(name: str) -> None:
    default = load_config(PAPER_CONFIGS / "default.yaml", [])
    assert differences(load_config(PAPER_CONFIGS / f"{name}.yaml", []), default) == CHANGES[name]


@pytest.mark.parametrize("table", [f"table{number}" for number in range(3, 11)])
def test_rows_differ_in_the_same_at_small_scale(table: str) -> None:
    reference = load_config(SMALL, [])
    for row in TABLES[table].rows:
        config = row_config(row, small=True, overrides=[])
        if not row.not_small:
            expected = CHANGES[row.config]
            if row.name == "0.9999":
                expected = {"memory.momentum": 0.9999}
            if row.name == "0.999":
                expected = {"memory.rising": False}
            assert differences(config, reference) == expected
        assert config.name == (row.small_config or row.config)


def test_overrides_win_over_all() -> None:
    overrides = ["embedding_loss.margin=0.5", "model.head_convs=1"]
    config = row_config(row_of("table9", "0.30"), small=True, overrides=overrides)
    assert (config.embedding_loss.margin, config.model_for(1, 1).head_convs) == (0.5, 1)


def test_every_table_compares_with_one_of_its_rows() -> None:
    assert list(TABLES) == [f"table{number}" for number in range(1, 11)]
    for table in TABLES.values():
        names = [row.name for row in table.rows]
        assert len(names) == len(set(names))
        assert table.reference in names
        for row in table.rows:
            assert len(row.published) in (0, len(table.columns))


def test_published_results_equal_the_paper(data: Path) -> None:
    """Compare row by row with the text of the paper."""
    lines = (data.parent / "paper" / "ciae_paper.md").read_text().splitlines()
    heads = [i for i, line in enumerate(lines) if re.match(r"Method\t|.*\tPQ \(%\)", line)]
    assert len(heads) == len(TABLES)
    for (name, table), head in zip(TABLES.items(), heads, strict=True):
        published = []
        for line in lines[head + 1 : lines.index("", head + 1)]:
            of_others = name in ("table1", "table2") and not line.startswith("Ours")
            if not of_others and not line.startswith("Improve."):
                published += values_in(line, r"\d+(\.\d)?" if name == "table1" else r"\d+\.\d")
        assert published == [row.published for row in table.rows if row.published]


def values_in(line: str, number: str) -> list[tuple[float, ...]]:
    """Return the rows in a line of the text, which joins some rows of Table IV."""
    cells = [re.sub("<[^>]*>|^fail.*", "", cell).split() for cell in line.split("\t")[1:]]
    columns = [[float(word) for word in cell if re.fullmatch(number, word)] for cell in cells]
    return list(zip(*filter(None, columns), strict=True))


def test_list_shows_every_row_and_its_cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def hours(config: TrainingConfig, tflops: float) -> float:
        return config.optimization.iterations / tflops

    monkeypatch.setattr(table_format, "training_gpu_hours", hours)
    assert main(["all", "--list", "--tflops", "10", "--seeds", "0", "1"]) == 0
    printed = capsys.readouterr().out
    rows = [row for table in TABLES.values() for row in table.rows]
    for row in rows:
        assert f"config/training/paper/{row.config}.yaml" in printed
    # Four long trainings, 24 of the usual length.
    assert printed.count("(shared)") == len(rows) - 28
    assert printed.count("| 1.8e+04 ") == 4
    assert printed.count("| 9e+03 ") == 24
    assert "28 trainings with 2 seeds each, 5.76e+05 GPU hours. An estimate: " in printed
    assert "a GPU that sustains 10 TFLOP/s" in printed


def test_hours_follow_from_the_networks_operations() -> None:
    config = load_config(PAPER_CONFIGS / "default.yaml", [])
    flops = forward_flops(PRESETS["r50_800"], 800, 1216)
    # ResNet-50 alone takes 2 x 4.09e9 at 224 x 224.
    assert flops > 8.18e9 * 800 * 1216 / 224**2
    assert training_gpu_hours(config, 20) == pytest.approx(3 * flops * 90_000 * 16 / 20e12 / 3600)
    assert training_gpu_hours(load_config(PAPER_CONFIGS / "table1_r50.yaml", []), 20) == pytest.approx(
        2 * training_gpu_hours(config, 20)
    )


def test_table_has_means_and_differences() -> None:
    def outcome(pq: float) -> Outcome:
        return Outcome({"PQ": pq, "PQ_th": pq + 1, "PQ_st": pq - 1})

    outcomes = {
        "0": [Outcome(note="it diverged", failed=True)] * 2,
        "0.99": [outcome(10.0), outcome(11.04)],
        "0.999": [outcome(20.0), Outcome(note="no disk", failed=True)],
        "0.9999": [outcome(12.0), outcome(13.0)],
    }
    text = format_table(TABLES["table7"], outcomes, "Measured: so.")
    cells = [re.split(r"\s*\|\s*", line)[1:7] for line in text.splitlines() if line.startswith("| 0")]
    assert cells == [
        ["0", "failed", "diverges", "- (-)", "failed", "diverges"],
        ["0.99", "10.5 (10.0, 11.0)", "37.5", "-2.0 (-0.4)", "11.5 (11.0, 12.0)", "42.2"],
        ["0.999", "20.0", "37.7", "+7.5 (-0.2)", "21.0", "42.6"],
        ["0.9999", "12.5 (12.0, 13.0)", "37.9", "", "13.5 (13.0, 14.0)", "42.5"],
    ]
    assert text.endswith("\n\n- 0: it diverged\n- 0.999: no disk\n")
    assert "0.99999" not in text


def test_small_scale_names_the_rows_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table1", "table2", "table5", "--list", "--scale", "small"]) == 0
    printed = capsys.readouterr().out
    assert "table5, r101_oracle: skipped at small scale: its backbone is the row" in printed
    assert "table2, r50: skipped at small scale: only COCO's server can score it" in printed
    assert printed.count("skipped") == 12
    assert "1 trainings" in printed
