# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Likely mistakes on the command line end with a line that says what was wrong, and an exit code for scripts.

Those with the node's parameters are in tests/node.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.inference.loading.named_models import DEFAULT_MODEL, shipped_models
from ciae_ros.replay.bags.bag_writing import write_bag
from tests.training.synthetic import scene, write_split


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Valid and invalid inputs of commands."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_split(folder / "data", {number: scene(number) for number in range(2)})
    shutil.copyfile(shipped_models()[DEFAULT_MODEL], folder / "model.safetensors")
    (folder / "noise.safetensors").write_bytes(bytes(100))
    (folder / "noise.json").write_text("{")
    (folder / "noise.yaml").write_text("a: [")
    (folder / "noise.mcap").write_bytes(bytes(100))
    (folder / "noise.onnx").write_bytes(bytes(100))
    (folder / "no_categories.yaml").write_text("- car")
    (folder / "teacher.py").write_text("import nonsense")
    (folder / "noise.mp4").write_bytes(bytes(100))
    no_data = "name: mistake\ndata: {train: /no/such.json}\n"
    (folder / "no_data.yaml").write_text(no_data)
    (folder / "key.yaml").write_text(f"{no_data}optimisation: {{batch_size: 2}}\n")
    (folder / "empty").mkdir()
    frames = [("/camera/image_raw", 10**9, np.zeros((32, 48, 3), np.uint8))]
    write_bag(folder / "drive", frames)
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "one.png"), frames[0][2])
    return folder


ANNOTATIONS = "{}/data/annotations/panoptic_tiny.json"
DRIVE = "{}/drive"

MISTAKES = {
    "missing configuration": ("training.train --config /no/such.yaml", "/no/such.yaml"),
    "wrong YAML key": ("training.train --config {}/key.yaml", "optimisation"),
    "configuration that is not YAML": ("training.train --config {}/noise.yaml", "noise.yaml cannot be read"),
    "override without a value": ("training.train --config {}/no_data.yaml data", "'data' is not key=value"),
    "unknown backbone": (
        "training.train --config config/training/camvid_light.yaml model.backbone=resnet51",
        "model: backbone must be one of resnet50,",
    ),
    "output of a training that cannot be written": (
        f"training.train --config {{}}/no_data.yaml data.train={ANNOTATIONS} --output /dev/null/run",
        "/dev/null/run: Not a directory",
    ),
    "table without its data": (
        "training.reproduce table8 --data-root /no/such",
        "panoptic_train2017.json is missing: download it from",
    ),
    "missing data": ("training.train --config {}/no_data.yaml", "/no/such.json"),
    "wrong override": (
        "training.train --config {}/no_data.yaml optimization.batch_size=many",
        "optimization.batch_size",
    ),
    "missing model": (f"training.evaluate /no/such.safetensors {ANNOTATIONS}", "no checkpoint at /no/such"),
    "misspelt name of a model": (
        f"training.evaluate scenes_lite {ANNOTATIONS}",
        "no model is called 'scenes_lite': give scenes_light, untrained/PRESET, hf://OWNER/NAME, or the path",
    ),
    "folder without a model": (f"training.evaluate {{}}/empty {ANNOTATIONS}", "give a folder that save_pretrained or"),
    "invalid model": (f"training.evaluate {{}}/noise.safetensors {ANNOTATIONS}", "not a safetensors file"),
    "missing annotations": ("training.evaluate scenes_light /no/such.json", "/no/such.json"),
    "model with other categories": (f"training.evaluate scenes_light {ANNOTATIONS}", "categor"),
    "missing device": (f"training.evaluate scenes_light {ANNOTATIONS} --device cuda:99", "cuda:99"),
    "calibration on other categories": (
        f"training.calibrate {{}}/model.safetensors {ANNOTATIONS}",
        "the categories of the network (21) differ from those of the data (4)",
    ),
    "calibration without images": (
        "training.calibrate {}/model.safetensors /no/such.json",
        "/no/such.json: No such file or directory",
    ),
    "confidence of a missing model": (
        f"training.fit_confidence /no/such.safetensors --fit {ANNOTATIONS}",
        "no checkpoint at /no/such.safetensors: give the path",
    ),
    "recordings that do not exist": (
        "training.label /no/such.mp4 --teacher scenes_light --output {}/labels",
        "give a video, an image, a folder of images or /dev/videoN",
    ),
    "recordings without images": (
        "training.label {}/empty --teacher scenes_light --output {}/labels",
        "contains no image (.bmp,",
    ),
    "teacher that cannot be imported": (
        "training.label {}/images --teacher {}/teacher.py --output {}/labels",
        "cannot be created by make_teacher(device, ...): ModuleNotFoundError: No module named 'nonsense'",
    ),
    "review of a folder without labels": ("training.review page {}/empty", "labelling may have been interrupted"),
    "missing map of categories": (
        f"training.map_categories {ANNOTATIONS} {{}}/mapped.json --map /no/such.yaml",
        "/no/such.yaml cannot be read: No such file or directory",
    ),
    "invalid map of categories": (
        f"training.map_categories {ANNOTATIONS} {{}}/mapped.json --map {{}}/no_categories.yaml",
        "is not a map of categories, which need id, name, kind (stuff or thing) and from",
    ),
    "background for missing annotations": (
        "training.add_background /no/such.json {}/a.json",
        "/no/such.json: No such file or directory",
    ),
    "invalid annotations": ("training.check_data {}/noise.json", "noise.json"),
    "missing data set": ("training.convert_camvid /no/such {}/camvid", "/no/such"),
    "missing semantic annotations": (
        "training.convert_semantic /no/such /no/such {}/a/panoptic_x.json --classes config/data_sets/idd_lite.yaml",
        "/no/such",
    ),
    "export of a missing model": ("ciae_ros.export /no/such.safetensors --onnx {}/a.onnx", "no checkpoint at /no/such"),
    "export to an invalid path": ("ciae_ros.export scenes_light --onnx /dev/null/a.onnx --size 64x64", "/dev/null"),
    "export of an exported file": ("ciae_ros.export {}/noise.onnx --onnx {}/a.onnx", "give the .safetensors file"),
    "export with a size that does not fit": (
        "ciae_ros.export scenes_light --onnx {}/a.onnx --size 100x100",
        "must be multiples of 32, not 100x100: use 128x128",
    ),
    "missing bag": ("ciae_ros.replay evaluate /no/such --output {}/run", "bag /no/such does not exist"),
    "folder without a bag": ("ciae_ros.replay evaluate {}/empty --output {}/run", "empty is not a bag"),
    "wrong topic": (f"ciae_ros.replay evaluate {DRIVE} --topics /front --output {{}}/run", "/camera/image_raw"),
    "missing ground truth": (
        f"ciae_ros.replay evaluate {DRIVE} --ground-truth /no/such --output {{}}/run",
        "/no/such",
    ),
    "output that cannot be written": (f"ciae_ros.replay evaluate {DRIVE} --output /dev/null/run", "/dev/null/run"),
    "bag of zeros": ("ciae_ros.replay evaluate {}/noise.mcap --output {}/run", "were never written to the disk"),
    "ground truth with other categories": (
        f"ciae_ros.replay evaluate {DRIVE} --ground-truth {ANNOTATIONS} --output {{}}/run",
        "has different categories than the model: id 3 is road (stuff) in the ground truth",
    ),
    "missing device in replay": (f"ciae_ros.replay evaluate {DRIVE} --device cuda:99 --output {{}}/run", "has 0 CUDA"),
    "results over an existing file": (
        f"ciae_ros.replay record-results {DRIVE} {{}}/noise.mcap",
        "exists already: give another path, or remove it",
    ),
    "report of a folder without a run": (
        "ciae_ros.replay report {}/empty",
        "does not contain a run of python -m ciae_ros.replay: run.json: No such file or directory",
    ),
    "bag from a missing video": ("ciae_ros.replay make-bag /no/such.mp4 {}/made", "give a video, an image, a folder"),
    "folder without a run": ("ciae_ros.replay compare {}/empty {}/empty", "does not contain a run"),
    "undecodable video": ("ciae_ros.replay make-bag {}/noise.mp4 {}/made", "not a video"),
    "existing bag": ("ciae_ros.replay make-bag {}/images {}/drive", "exists already"),
    "benchmark of a missing model": ("benchmarks node --model scenes_lite", "no model is called 'scenes_lite'"),
    "benchmark on a missing device": ("benchmarks frame --device cuda:99", "leave --device out, or set it to cpu"),
    "table of what no benchmark has written": ("benchmarks table {}/noise.json", "does not contain results"),
    "benchmark on a missing video": ("benchmarks pipeline --source /no/such.mp4", "/no/such.mp4"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_line(mistake: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, said = MISTAKES[mistake]
    name, *arguments = command.replace("{}", str(folder)).split()
    module = importlib.import_module(f"{name}.__main__" if name.startswith(("ciae_ros", "benchmarks")) else name)
    assert module.main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert said in lines[0]
    assert "Traceback" not in lines[0]
