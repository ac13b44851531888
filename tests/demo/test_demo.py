# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The demo, from its source to its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.demo.__main__ import main
from tests.inference.loading.huggingface_models import write_model

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.slow
def test_demo_from_a_folder_of_images(tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    for i in range(12):
        cv2.imwrite(str(source / f"{i:03}.png"), np.roll(IMAGE, i, axis=1))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "ciae_ros.demo", "--source", str(source), "--output", str(output), "--rate", "5"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert finished.returncode == 0, finished.stderr
    summary = json.loads((output / "summary.json").read_text())
    frames = summary["frames"]
    assert frames["published"] == 12
    assert frames["received"] == frames["segmented"] + sum(frames["dropped"].values())
    assert frames["recorded"] == frames["segmented"] > 0
    assert "scenes_light" in summary["model"]
    video = cv2.VideoCapture(str(output / "overlay.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (80, 60)
    assert cv2.imread(str(output / "contact_sheet.png")).shape[1] == 3 * 640
    assert cv2.imread(str(output / "picture.png")).shape == (60, 3 * 80, 3)
    report = json.loads((output / "run" / "report.json").read_text())
    assert report["summary"]["frames"] == 12
    assert 0 < report["summary"]["fps"] < 20
    assert report["summary"]["dropped"] == pytest.approx(1 - frames["segmented"] / 12)
    assert (output / "run" / "report.html").is_file()


@pytest.mark.slow
def test_demo_with_a_network_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    model = write_model("eomt", tmp_path / "eomt")
    cv2.imwrite(str(tmp_path / "image.png"), IMAGE)
    output = tmp_path / "out"
    options = ["--source", str(tmp_path / "image.png"), "--output", str(output), "--model", str(model)]
    monkeypatch.setattr(sys, "argv", ["demo", *options])
    assert main() == 0
    assert "eomt" in json.loads((output / "summary.json").read_text())["model"]
    # The image and its panoptic map: there is no embedding to be shown.
    assert cv2.imread(str(output / "picture.png")).shape == (60, 2 * 80, 3)
    assert (output / "run" / "report.html").is_file()


@pytest.mark.parametrize("source", ["/no/such/video.mp4", __file__])
def test_demo_refuses_a_file_that_is_not_a_video(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--source", source])
    assert main() == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("demo: ")
