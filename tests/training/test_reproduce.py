# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The paper's tables: their figures, their configurations, and the rows trained and evaluated on a tiny data set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciae_ros.inference.panoptic_annotations import PanopticAnnotations
from ciae_ros.model import PRESETS
from tests.training.synthetic import scene, write_split
from training import paper_report, paper_rows, train
from training.config import TrainingConfig, load_config
from training.paper_report import format_table
from training.paper_rows import CONFIGS, PAPER_CONFIGS, SMALL, Outcome, row_config
from training.paper_tables import TABLES, Row
from training.reproduce import main
from training.training_cost import forward_flops, training_gpu_hours

TINY = [
    "model.preset=light_512",
    "model.fpn_channels=32",
    "model.embedding_channels=32",
    "model.head_convs=1",
    "model.input_size=64",
    "model.max_input_size=128",
    "augmentation.shorter_side=[64,64]",
    "augmentation.longer_side=128",
    "augmentation.crop=[64,64]",
    "optimization.iterations=2",
    "optimization.batch_size=2",
    "optimization.scale_with_batch=false",
    "pretrained=null",
    "inference.score_threshold=0.05",
    "data.workers=0",
    "device=cpu",
]

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
"""What each file of config/training/paper says differently from the paper's default."""


def row_of(table: str, name: str) -> Row:
    (row,) = (row for row in TABLES[table].rows if row.name == name)
    return row


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def values_of(config: TrainingConfig) -> dict[str, Any]:
    """By dotted key, all of a configuration and of its model, but for the name."""
    values = config.model_dump()
    del values["name"], values["model"]
    return dict(flat(values)) | dict(flat(config.model_for(53, 80).to_dict(), "model."))


def differences(config: TrainingConfig, other: TrainingConfig) -> dict[str, Any]:
    """What `config` has that the other has not."""
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
    assert differences(default, minimal) == {}


@pytest.mark.parametrize("name", CHANGES)
def test_row_differs_from_the_default_in_what_its_table_says(name: str) -> None:
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


def test_every_table_compares_with_a_row_of_its_own() -> None:
    assert list(TABLES) == [f"table{number}" for number in range(1, 11)]
    for table in TABLES.values():
        names = [row.name for row in table.rows]
        assert len(names) == len(set(names))
        assert table.reference in names
        for row in table.rows:
            assert len(row.figures) in (0, len(table.columns))


def test_figures_are_the_papers(data: Path) -> None:
    """Row by row, against the text of the paper."""
    lines = (data.parent / "paper" / "ciae_paper.md").read_text().splitlines()
    heads = [i for i, line in enumerate(lines) if re.match(r"Method\t|.*\tPQ \(%\)", line)]
    assert len(heads) == len(TABLES)
    for (name, table), head in zip(TABLES.items(), heads, strict=True):
        published = []
        for line in lines[head + 1 : lines.index("", head + 1)]:
            of_others = name in ("table1", "table2") and not line.startswith("Ours")
            if not of_others and not line.startswith("Improve."):
                published += figures_of(line, r"\d+(\.\d)?" if name == "table1" else r"\d+\.\d")
        assert published == [row.figures for row in table.rows if row.figures]


def figures_of(line: str, number: str) -> list[tuple[float, ...]]:
    """The rows in a line of the text, which joins some rows of Table IV."""
    cells = [re.sub("<[^>]*>|^fail.*", "", cell).split() for cell in line.split("\t")[1:]]
    columns = [[float(word) for word in cell if re.fullmatch(number, word)] for cell in cells]
    return list(zip(*filter(None, columns), strict=True))


def test_list_shows_every_row_and_its_cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def hours(config: TrainingConfig, tflops: float) -> float:
        return config.optimization.iterations / tflops

    monkeypatch.setattr(paper_report, "training_gpu_hours", hours)
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


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Overrides for a training of seconds on eight images."""
    path = write_split(tmp_path / "data", {number: scene(number) for number in range(8)}).path
    return [*TINY, f"data.train={path}", f"data.val={path}"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def run(output: Path, command: str, overrides: list[str]) -> int:
    return main([*command.split(), "--output", str(output), *overrides])


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(config: TrainingConfig, folder: Path) -> None:
        pytest.fail(f"{folder} was trained")

    monkeypatch.setattr(paper_rows, "train", trained)


def test_rows_are_trained_evaluated_and_compared_once(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "table9 --scale small --rows 0.15 0.00 --seeds 0 1"
    assert run(output, command, tiny) == 0
    folders = [f"{name}-seed{seed}" for name in ("default", "table9_margin_0.00") for seed in (0, 1)]
    assert {path.name for path in output.iterdir()} == {*folders, "table9.md"}
    measured = []
    for folder in folders:
        content = json.loads((output / folder / "scores.json").read_text())
        measured.append(100 * content["scores"]["all"]["pq"])
        assert content["seed"] == int(folder[-1])
    table = (output / "table9.md").read_text()
    assert table in capsys.readouterr().out
    mean = sum(measured[:2]) / 2
    assert f"| 0.15 | {mean:.1f} ({measured[0]:.1f}, {measured[1]:.1f}) | 37.9 " in table
    forbid_training(monkeypatch)
    assert run(output, command, tiny) == 0
    assert (output / "table9.md").read_text() == table
    # Another table's row of the same model.
    assert run(output, "table10 --scale small --rows 32", tiny) == 0


def test_one_training_is_evaluated_in_several_ways(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(output, "table4 --scale small --rows D_per_class", tiny) == 0
    forbid_training(monkeypatch)
    assert run(output, "table4 --scale small --rows E_per_class D_per_class", tiny) == 0
    folder = output / "table4_per_class-seed0"
    detector, embedding = (json.loads((folder / name).read_text()) for name in ("scores.json", "scores_embedding.json"))
    assert embedding["evaluation"]["instance_category"] == "embedding"
    assert detector["scores"]["stuff"] == embedding["scores"]["stuff"]


def test_oracle_is_given_the_ground_truth(output: Path, tiny: list[str]) -> None:
    assert run(output, "table5 --rows r50 r50_oracle", tiny) == 0
    folder = output / "default-seed0"
    found, oracle = (json.loads((folder / name).read_text()) for name in ("scores.json", "scores_oracle.json"))
    assert oracle["scores"]["things"]["pq"] > found["scores"]["things"]["pq"]


def test_results_for_the_server_are_written(output: Path, tiny: list[str], tmp_path: Path) -> None:
    root = tmp_path / "data"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_tiny.json")
    assert run(output, "table2 --rows r50", tiny) == 1
    image_info = {"images": list(annotations.images.values())[:2]}
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(image_info))
    shutil.copytree(root / "tiny", root / "test2017")
    assert run(output, "table2 --rows r50", tiny) == 0
    results = PanopticAnnotations.load(output / "table1_r50-seed0" / "panoptic_test-dev2017_ciae_results.json")
    assert list(results.annotations) == list(results.images) == [0, 1]
    for image_id, entry in results.annotations.items():
        written = {info["id"] for info in entry["segments_info"]}
        assert set(results.segment_ids(image_id).flat) - {0} == written
    assert f"- r50: results for the server: {results.path}" in (output / "table2.md").read_text()


def test_what_torchrun_has_trained_is_evaluated(output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = PAPER_CONFIGS / "table10_dim_16.yaml"
    folder = output / "table10_dim_16-seed0"
    assert train.main(["--config", str(config), "--output", str(folder), *tiny, "seed=0", "data.val=null"]) == 0
    forbid_training(monkeypatch)
    assert run(output, "table10 --rows 16", tiny) == 0


def test_divergence_is_a_result(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = [*tiny, "optimization.learning_rate=1.0e+30"]
    assert run(output, "table7 --scale small --rows 0", wild) == 1
    assert "the loss of iteration 1 is not finite" in capsys.readouterr().err
    table = (output / "table7.md").read_text()
    assert re.search(r"\| 0 +\| failed +\| diverges +\|", table)
    assert "- 0: the loss of iteration 1 is not finite" in table
    forbid_training(monkeypatch)
    assert run(output, "table7 --scale small --rows 0", wild) == 1


def test_a_row_that_fails_does_not_stop_the_others(
    output: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = output / "table9_margin_0.30-seed0" / "state.pt"
    broken.parent.mkdir(parents=True)
    broken.write_text("broken")
    command = "table9 --scale small --rows 0.30 0.15"
    assert run(output, command, tiny) == 1
    assert "table9, 0.30, seed 0: " in capsys.readouterr().err
    table = (output / "table9.md").read_text()
    assert re.search(r"\| 0\.30 \| failed +\| 36\.5 ", table)
    assert re.search(r"\| 0\.15 \| \d+\.\d +\| 37\.9 ", table)
    broken.unlink()
    assert run(output, command, tiny) == 0


def test_a_stopped_training_stops_all(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []
    monkeypatch.setattr(paper_rows, "train", lambda config, folder: started.append(folder.name))
    assert run(output, "table9 --scale small --rows 0.15 0.00", tiny) == 1
    assert started == ["default-seed0"]
    assert capsys.readouterr().err.endswith("is not trained to the end; the same command goes on\n")


def test_folder_of_another_training_is_refused(
    output: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(output, "table9 --scale small --rows 0.15", tiny) == 0
    assert run(output, "table9 --scale small --rows 0.15", [*tiny, "memory.momentum=0.5"]) == 1
    assert "is of a run with another memory" in capsys.readouterr().err


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, path in (
        ("", "data/coco/annotations/panoptic_train2017.json"),
        ("--scale small", "out/data/camvid/annotations/panoptic_train.json"),
        (f"--data-root {tmp_path}", f"{tmp_path}/annotations/panoptic_train2017.json"),
    ):
        assert main(["table8", *options.split(), "data.train_images=/nowhere", f"--output={tmp_path}"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"reproduce: {path} is missing: ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("table8 --rows 1.4", "no row '1.4', but All, 2.0, 1.5, 1.2, 1.0"),
        ("table8 model.heads=1", "heads: Unexpected keyword argument"),
        ("table8 data.val=null", "data.val: the file to evaluate on is needed"),
    ],
)
def test_what_cannot_be_done_is_refused(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 1
    assert message in capsys.readouterr().err
