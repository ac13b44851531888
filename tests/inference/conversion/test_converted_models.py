# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Converted networks are made once for the same weights, size and versions, whatever happens to a process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("openvino", reason="needs requirements-openvino.txt")
pytest.importorskip("onnxscript", reason="needs requirements-onnx.txt")
from ciae_ros.inference import Predictor, load_model
from ciae_ros.inference.conversion import onnx_export, openvino_conversion, versions
from ciae_ros.inference.conversion.converted_models import onnx_model, openvino_model
from ciae_ros.inference.conversion.versions import weights_digest
from tests.warmed_python import WarmedPython

TIMEOUT = 120
SEGMENT = """
import sys
import numpy as np
from ciae_ros.inference import Predictor, load_model
predictor = Predictor(load_model("scenes_light"), input_size=64, runtime="openvino")
image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
print(predictor.device_name, int(predictor.predict(image).label_map.astype(int).sum()))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ciae_ros" / "models"


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith("."))


def start_segmenting() -> subprocess.Popen[str]:
    return WarmedPython(["-c", SEGMENT], stdout=subprocess.PIPE)


def test_one_entry_for_each_model_size_and_version(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    for module, name in ((onnx_export, "export_onnx"), (openvino_conversion, "convert_to_openvino")):
        monkeypatch.setattr(module, name, lambda checkpoint, path, *rest: written.append(path) or path.touch())
    checkpoint = load_model("scenes_light")
    other = load_model("untrained/light_512")
    for _ in range(2):
        for model in (checkpoint, other):
            assert openvino_model(model).name == "model.xml"
            for size in ((64, 64), (64, 96)):
                assert onnx_model(model, size, 64, "fp32").suffix == ".onnx"
    assert len(written) == len(entries(cache)) == 6
    assert any(name.startswith("scenes_light-openvino-") for name in entries(cache))
    assert any(name.startswith("light_512_untrained_-64x96-") for name in entries(cache))
    with torch.no_grad():
        next(other.model.parameters())[0] += 1
    openvino_model(other)
    assert len(entries(cache)) == 7, "other weights under the same name"
    monkeypatch.setattr(versions.metadata, "version", lambda package: "another")
    openvino_model(checkpoint)
    assert len(entries(cache)) == 8


def test_the_weights_of_an_untrained_model_count(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("untrained/light_512")
    before = weights_digest(model)
    assert before == weights_digest(load_model("untrained/light_512"))
    with torch.no_grad():
        next(model.model.parameters())[0] += 1
    assert weights_digest(model) != before


@pytest.mark.slow
def test_two_processes_at_once(cache: Path) -> None:
    processes = [start_segmenting() for _ in range(2)]
    outputs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("cpu, OpenVINO")
    assert len(entries(cache)) == 1


@pytest.mark.slow
def test_a_killed_conversion_is_repeated(cache: Path) -> None:
    killed = start_segmenting()
    end = time.monotonic() + TIMEOUT
    while not (cache.is_dir() and list(cache.glob(".*.unfinished/*"))):
        assert time.monotonic() < end and killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait(TIMEOUT)
    assert entries(cache) == []
    repeated = start_segmenting()
    assert repeated.communicate(timeout=TIMEOUT)[0].startswith("cpu, OpenVINO")
    assert len(entries(cache)) == 1
    assert not list(cache.glob(".*.unfinished"))


def test_without_a_cache_the_model_is_converted_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(
        openvino_conversion, "convert_to_openvino", lambda checkpoint, path: path.write_text("converted")
    )
    with caplog.at_level(logging.WARNING):
        assert openvino_model(load_model("scenes_light")).read_text() == "converted"
    assert "cannot be written" in caplog.text and "set XDG_CACHE_HOME" in caplog.text


def test_onnx_runtime_runs_prepared_sizes_and_pytorch_the_others(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    original = Predictor(load_model("scenes_light"), input_size=64)
    predictor = Predictor(load_model("scenes_light"), input_size=64, runtime="onnx")
    predictor.prepare(48, 64)
    assert "CPUExecutionProvider" in predictor.device_name
    generator = np.random.default_rng(0)
    for shape in ((48, 64, 3), (64, 64, 3)):
        image = generator.integers(0, 256, shape, np.uint8)
        batch = predictor.preprocess([(torch.from_numpy(image), "rgb")], [predictor.geometry(*shape[:2])])
        with torch.inference_mode(), caplog.at_level(logging.WARNING):
            found, expected = predictor.run_network(batch), original.run_network(batch)
        torch.testing.assert_close(found.embedding, expected.embedding, rtol=1e-3, atol=1e-4)
        assert ("run by PyTorch" in caplog.text) == (shape[0] == 64)
    assert len(entries(cache)) == 1
    # A caller that can wait gets an export for every size.
    predictor.predict(image)
    assert len(entries(cache)) == 2


@pytest.mark.slow
def test_a_converted_network_starts_without_torchvision_and_timm(cache: Path) -> None:
    """Their imports and PyTorch's compiler, which they import, took two of four seconds of a node's start."""
    openvino_model(load_model("scenes_light"))
    program = SEGMENT.replace("load_model", "load_for_backend") + (
        "print(sorted({'torchvision', 'timm', 'torch._dynamo', 'ciae_ros.model.ciae'} & set(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"
