# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Every command and code block of the documents runs here as written, or is listed as tested elsewhere."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ciae_ros.inference import load_checkpoint
from ciae_ros.inference.loading.named_models import DEFAULT_MODEL, shipped_models
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.evaluation.model_options import ModelOptions
from ciae_ros.replay.evaluation.run_evaluation import EvaluationConfig, evaluate
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, Infos, scene, write_split
from training.config import load_config

ROOT = Path(__file__).parents[1]
PAGES = {page.stem: page for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))}
ELSEWHERE = {
    "python -m benchmarks gpu-check": "tests/benchmarks/test_gpu_check.py",
    "make": "installs and runs this: tests/test_setup.py; by module tests/demo, tests/benchmark and tests/soak",
    "source": "the shell that this runs in",
    "ruff": "`make test` has run it",
    "pytest": "this",
    "pip install": "scripts/setup.sh installs the same files",
    "git clone": "a workspace of a ROS distribution, as tests/launch makes it",
    "python3 -m venv": "the environment of that workspace; scripts/setup.sh makes one like it",
    "python -m colcon": "tests/launch and tests/examples, where there is ros2 launch",
    "docker": "needs a Docker engine; .github/workflows/ci.yml builds the images",
    "ARGUMENTS=": "needs a Docker engine",
    "rosdep": "a ROS distribution",
    "ros2 launch": "tests/launch, where there is ros2 launch",
    "ros2 run": "tests/launch and tests/node/test_sros2.py, where there is ros2cli",
    "ros2 security": "tests/node/test_sros2.py, where there is ros2cli",
    "ros2 topic": "a ROS distribution",
    "ros2 param": "a ROS distribution; tests/node/test_category_selection_in_the_node.py sets the same parameter",
    "ros2 service": "a ROS distribution; tests/node/test_tracking.py calls the same service",
    "python -m training.label drive.mcap --teacher hf://": "needs the hub; tests/training/labeling walks through it",
    "hf download": "needs the hub; tests/inference/loading/test_hub.py downloads from one of its own",
    "export": "needs the commands of a ROS distribution",
    "umask": "before `ros2 security`",
    "python examples/": "tests/examples",
    "torchrun": "tests/training/run, with two processes",
    "python -m training.train": "days; their configurations are read below, tests/training/run trains",
    "python -m training.reproduce table8  ": "days; tests/training reproduces a row",
    "python -m training.reproduce table3": "hours; tests/training reproduces a row",
    "python -m ciae_ros.replay evaluate bags/*.mcap --ray": "tests/replay/evaluation starts a cluster",
}
"""Prefixes of commands, and where they are tested."""
MODEL = load_checkpoint(shipped_models()[DEFAULT_MODEL])
NOT_AS_REQUIRED = 3
FRAMES = 3


WALKED_THROUGH = {"own_model": "tests/training/labeling/test_own_model.py"}
"""Pages whose commands are run one after the other by another test."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Return the commands with joined continuation lines."""
    return [line for block in blocks(page, "bash") for line in block.replace("\\\n", "").splitlines() if line]


def run_elsewhere(command: str) -> list[str]:
    return [beginning for beginning in ELSEWHERE if command.startswith(beginning)]


def commands_run_here(page: Path) -> list[str]:
    return [command for command in commands(page) if not run_elsewhere(command)]


def test_commands_run_elsewhere_are_in_a_document() -> None:
    pages = [page for name, page in PAGES.items() if name not in WALKED_THROUGH]
    written = {beginning for page in pages for command in commands(page) for beginning in run_elsewhere(command)}
    assert written == set(ELSEWHERE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and folders in the commands, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    scenes = {number: street_scene(number) for number in range(FRAMES)}
    for split in ("val", "heldout"):
        write_split(tmp_path, scenes, split, MODEL.categories)
    shutil.copytree("val", "frames")
    shutil.copytree("annotations/panoptic_val", "truth/panoptic_drive")
    shutil.copyfile("annotations/panoptic_val.json", "truth/panoptic_drive.json")
    for split in ("train2017", "val2017"):
        write_split(tmp_path / "data" / "coco", scenes, split, MODEL.categories)
    images = [cv2.imread(str(path)) for path in sorted(Path("frames").iterdir())]
    write_bag(Path("drive_bag"), [("/camera/image_raw", 10**9 + i * 10**8, image) for i, image in enumerate(images)])
    (recorded,) = Path("drive_bag").glob("*.mcap")
    recorded.rename("drive.mcap")
    write_video(Path("drive.mp4"), images)
    trained = Path("out/training/coco_long/model.safetensors")
    trained.parent.mkdir(parents=True)
    for copy in (trained, Path("new.safetensors"), Path("model.safetensors")):
        shutil.copyfile(shipped_models()[DEFAULT_MODEL], copy)
    return tmp_path


def street_scene(number: int) -> tuple[np.ndarray, Infos]:
    """Return segment ids and `segments_info` with the categories of the shipped model."""
    ids, infos = scene(number, crowd=False)
    id_of = {category.name: category.id for category in MODEL.categories.by_id.values()}
    names = {ROAD: "road", SKY: "sky", CAR: "car", PERSON: "person"}
    return ids, [info | {"category_id": id_of[names[info["category_id"]]]} for info in infos]


def write_video(path: Path, images: list[np.ndarray]) -> None:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (width, height))
    for image in images:
        writer.write(image)
    writer.release()


def make_runs(folder: Path) -> None:
    """Create two runs for `compare`."""
    truth = str(folder / "truth" / "panoptic_drive.json")
    for name in ("model_a", "model_b"):
        output, options = folder / "out" / name, ModelOptions(device="cpu", input_size=64)
        evaluate(EvaluationConfig([folder / "drive.mcap"], output, options, ground_truth=truth))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [name for name, page in PAGES.items() if name not in WALKED_THROUGH and commands_run_here(page)]
)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if " compare out/model_a" in PAGES[page].read_text():
        make_runs(folder)
    for command in commands_run_here(PAGES[page]):
        python, option, name, *arguments = shlex.split(command, comments=True)
        assert (python, option) == ("python", "-m"), f"{command}: run it here, or name it in ELSEWHERE"
        if " node " in command:
            pytest.importorskip("rclpy", reason="needs ROS 2")
        if name == "ciae_ros.export":
            pytest.importorskip("onnxscript", reason="needs requirements-onnx.txt")
        module = importlib.import_module(f"{name}.__main__" if name.startswith("ciae_ros") else name)
        allowed = (0, NOT_AS_REQUIRED) if "--require" in command else (0,)
        code = module.main(arguments)
        printed = capsys.readouterr()
        assert code in allowed, f"{command}\n{printed.out}{printed.err}"
    for report in folder.glob("out/**/*.html"):
        assert report.stat().st_size > 10_000


@pytest.mark.parametrize("page", PAGES)
def test_configurations_that_are_trained_in_a_document_can_be_read(page: str) -> None:
    for command in commands(PAGES[page]):
        if "-m training.train" in command:
            *_, path = command.partition("--config ")
            configuration, *overrides = shlex.split(path, comments=True)
            load_config(ROOT / configuration, overrides)


def test_the_code_for_consumers_reads_what_the_node_sends() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from ciae_msgs.msg import PanopticSegment, PanopticSegments, RunLengthLabels  # noqa: PLC0415
    from sensor_msgs.msg import Image, RegionOfInterest  # noqa: PLC0415

    expected = np.zeros((4, 6), np.uint16)
    expected[1:3, 2:5] = 1
    labels = Image(height=4, width=6, encoding="16UC1", step=12, data=expected.tobytes())
    box = RegionOfInterest(x_offset=2, y_offset=1, width=3, height=2)
    segment = PanopticSegment(id=1, category_id=7, area=6, box=box)
    full, of_detections, run_lengths = blocks(PAGES["consuming"], "python")
    names = {"np": np, "labels": labels, "segment": segment, "table": PanopticSegments(segments=[segment])}
    exec(full, names)
    assert np.array_equal(names["ids"], expected)
    assert names["mask"].sum() == segment.area
    assert names["part"].all()
    assert np.array_equal(names["semantic"], expected * 7)
    stuff, thing = PanopticSegment(id=2), PanopticSegment(id=1, is_thing=True)
    detections = SimpleNamespace(detections=[object()])  # vision_msgs is not everywhere.
    names |= {"table": PanopticSegments(segments=[stuff, thing]), "detections": detections, "mask": None}
    exec(of_detections, names)
    assert np.array_equal(names["mask"], expected == 1)
    message = RunLengthLabels(height=4, width=6, ids=[0, 1, 0, 1, 0], lengths=[8, 3, 3, 3, 7])
    exec(run_lengths, names := {"np": np, "message": message})
    assert np.array_equal(names["ids"], expected)


def test_the_query_over_many_runs_gives_shares(folder: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs requirements-dev.txt")
    make_runs(folder)
    (query,) = blocks(PAGES["replay"], "sql")
    rows = duckdb.sql(query).fetchall()
    assert rows
    assert all(0 <= missed <= 1 and count > 0 for _, missed, count in rows)
