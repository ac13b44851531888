# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Exported models that cannot run as requested are refused in one line with a remedy."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="needs requirements-onnx.txt")
pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
import onnx
import onnxruntime

from ciae_ros.inference import CheckpointError, Predictor, load_for_backend
from ciae_ros.inference.loading.onnx_model import load_onnx_model
from ciae_ros.inference.networks.onnx_network import OnnxNetwork


def refused(message: str) -> pytest.RaisesExc[CheckpointError]:
    return pytest.raises(CheckpointError, match=re.compile(f"^[^\n]*{message}[^\n]*$"))


def edited(source: Path, target: Path, **metadata: str) -> Path:
    """Copy a model with other metadata."""
    model = onnx.load(str(source))
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | metadata)
    onnx.save(model, str(target))
    return target


def test_files_that_are_no_models(exported_light: Path, tmp_path: Path) -> None:
    with refused("no model at .*nowhere.onnx: give the path"):
        load_onnx_model(tmp_path / "nowhere.onnx")
    bad = tmp_path / "bad.onnx"
    for content in (b"", b"not a model", exported_light.read_bytes()[:-100_000]):
        bad.write_bytes(content)
        with refused("export it again"):
            load_onnx_model(bad)


def test_a_model_of_another_program(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value("x", 1, [1])], [value("y", 1, [1])]
    )
    path = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), str(path))
    with refused("is not a model of this version: format None"):
        load_onnx_model(path)


def test_a_model_of_a_later_opset(exported_light: Path, tmp_path: Path) -> None:
    model = onnx.load(str(exported_light))
    model.opset_import[0].version = 999
    path = tmp_path / "later.onnx"
    onnx.save(model, str(path))
    with refused("cannot be opened by ONNX Runtime .*opset"):
        load_onnx_model(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "ciae-onnx-9"}, "format 'ciae-onnx-9', not 'ciae-onnx-1'"),
        ({"config": "{"}, "does not describe a valid model"),
        ({"config": '{"depth": 3}'}, "unknown model configuration: depth"),
        ({"memory": "AAAA"}, "does not describe a valid model"),
        ({"categories": "[]"}, "does not describe a valid model"),
    ],
)
def test_metadata_that_does_not_add_up(
    exported_light: Path, tmp_path: Path, metadata: dict[str, str], message: str
) -> None:
    with refused(re.escape(message)):
        load_onnx_model(edited(exported_light, tmp_path / "edited.onnx", **metadata))


def test_a_backend_that_is_not_the_files(exported_light: Path) -> None:
    with refused("backend torch cannot run .*: set backend to auto or onnx"):
        load_for_backend(str(exported_light), "torch")
    with refused("backend openvino cannot run .*: set backend to auto or onnx"):
        load_for_backend(str(exported_light), "openvino")
    with refused("TensorRT does not support the CPU: set backend to onnx, or device to cuda"):
        Predictor(load_for_backend(str(exported_light), "tensorrt"))


def test_a_missing_onnxruntime_names_the_requirements(exported_light: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("type pip install onnxruntime, for CUDA onnxruntime-gpu"):
        load_onnx_model(exported_light)


def test_images_of_another_size(exported_light: Path) -> None:
    predictor = Predictor(load_for_backend(str(exported_light)))
    with pytest.raises(ValueError, match=r"this image is 128x128 .* was exported for 128x192: export it with --size"):
        predictor.predict(np.zeros((64, 64, 3), np.uint8))


def test_another_precision_or_number_of_candidates(exported_light: Path) -> None:
    model = load_onnx_model(exported_light)
    with refused("exported in fp32: set precision to auto or fp32"):
        Predictor(model, precision="bf16")
    settings = replace(model.settings, max_proposals_per_level=10)
    with pytest.raises(ValueError, match="max_proposals_per_level is 10, the model was exported with 1000"):
        Predictor(model, settings=settings).predict(np.zeros((48, 64, 3), np.uint8))


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="has the CUDA provider")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_missing_or_does_not_load(exported_light: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_onnx_model(exported_light)
    with refused("has no CUDAExecutionProvider for cuda: install onnxruntime-gpu"):
        OnnxNetwork(model, torch.device("cuda"), torch.float32)
    # As if installed without its libraries, when ONNX Runtime falls back to the CPU.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with refused("with CPUExecutionProvider instead of CUDAExecutionProvider"):
        OnnxNetwork(model, torch.device("cuda"), torch.float32)


def test_the_backend_is_reported(exported_light: Path) -> None:
    name = Predictor(load_for_backend(str(exported_light))).device_name
    assert name == f"cpu, ONNX Runtime {onnxruntime.__version__} (CPUExecutionProvider)"
