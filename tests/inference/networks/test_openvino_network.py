# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""OpenVINO computes what PyTorch computes, for all sizes, and reports nothing to anyone."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

pytest.importorskip("openvino", reason="needs requirements-openvino.txt")
from ciae_ros.inference import Checkpoint, CheckpointError, Predictor, coco_categories, load_model, untrained_checkpoint
from ciae_ros.inference.conversion import openvino_conversion
from ciae_ros.inference.conversion.errors import ExportError
from ciae_ros.inference.conversion.openvino_conversion import convert_to_openvino
from ciae_ros.inference.networks import openvino_network
from ciae_ros.inference.networks.openvino_network import OpenVinoNetwork
from ciae_ros.inference.networks.torch_network import TorchNetwork
from ciae_ros.model import PRESETS, ModelConfig
from ciae_ros.model.layers import DeformableConv2d

CPU = torch.device("cpu")
AGREEMENT = {"fp32": 0.999, "bf16": 0.98}
"""Minimum share of pixels with the same category as in PyTorch in fp32."""


def checkpoint_of(config: ModelConfig) -> Checkpoint:
    found = untrained_checkpoint("small", config, coco_categories())
    for module in found.model.modules():
        if isinstance(module, DeformableConv2d):
            torch.nn.init.normal_(module.offset.weight, std=0.02)
    return found


CHECKPOINTS = {
    "scenes_light": lambda: load_model("scenes_light"),
    "r50_semantic_dcn": lambda: checkpoint_of(
        ModelConfig(semantic_branch=True, deformable_stages=1, memory_of_things="none", input_size=512)
    ),
    "without_centerness": lambda: checkpoint_of(
        replace(PRESETS["light_512"], centerness_branch=False, auxiliary_semantics=True, drop_path_rate=0.2)
    ),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model."""
    path = tmp_path_factory.mktemp("openvino") / "model.xml"
    convert_to_openvino(load_model("scenes_light"), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_all_outputs_equal_those_of_pytorch(name: str, tmp_path: Path) -> None:
    checkpoint = CHECKPOINTS[name]()
    weights = {key: value.clone() for key, value in checkpoint.model.state_dict().items()}
    convert_to_openvino(checkpoint, tmp_path / "model.xml")
    assert all(torch.equal(value, weights[key]) for key, value in checkpoint.model.state_dict().items())
    network = OpenVinoNetwork(checkpoint, tmp_path / "model.xml", "fp32")
    assert network.config == checkpoint.model.config
    assert torch.equal(network.memory.vectors, checkpoint.model.memory.vectors)
    reference = TorchNetwork(copy.deepcopy(checkpoint), CPU, torch.float32)
    # Two images in a batch, and sizes whose coarse levels have odd lengths.
    for shape in ((2, 3, 96, 128), (1, 3, 160, 96)):
        images = torch.randn(shape)
        with torch.inference_mode():
            found, expected = network(images), reference(images)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours is None) == (theirs is None)
            for tensor, other in zip(_as_list(ours), _as_list(theirs), strict=True):
                torch.testing.assert_close(tensor, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def _as_list(output: torch.Tensor | list[torch.Tensor] | None) -> list[torch.Tensor]:
    if output is None:
        return []
    return [output] if isinstance(output, torch.Tensor) else output


def test_later_runs_do_not_change_earlier_outputs(converted: Path) -> None:
    network = OpenVinoNetwork(load_model("scenes_light"), converted, "fp32")
    first = network(torch.randn(1, 3, 96, 128))
    before = first.embedding.clone()
    network(torch.randn(1, 3, 96, 128))
    assert torch.equal(first.embedding, before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_labels_of_the_shipped_model_on_real_images(data: Path, precision: str) -> None:
    original = Predictor(load_model("scenes_light"), input_size=192)
    predictor = Predictor(load_model("scenes_light"), precision=precision, input_size=192, runtime="openvino")
    assert predictor.device_name.startswith("cpu, OpenVINO 20")
    paths = sorted((data / "camvid_480x360" / "test").glob("*.jpg"))[::12]
    images = [cv2.imread(str(path)) for path in paths]
    results, _ = predictor.predict_batch([(image, "bgr") for image in images])
    for image, result in zip(images, results, strict=True):
        expected = original.predict(image, "bgr")
        assert len(expected.segments) > 3
        assert (result.semantic_map() == expected.semantic_map()).mean() > AGREEMENT[precision]


def test_bf16_is_used(converted: Path) -> None:
    """Otherwise the tests of its agreement would compare fp32 with itself."""
    image = torch.randn(1, 3, 96, 128)
    networks = [OpenVinoNetwork(load_model("scenes_light"), converted, precision) for precision in ("fp32", "bf16")]
    full, half = (network(image).embedding for network in networks)
    difference = ((full - half).abs().max() / full.abs().max()).item()
    if "BF16" not in networks[0]._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    assert 1e-3 < difference < 0.1


def test_compiled_sizes_are_bounded(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "MAX_SIZES", 2)
    network = OpenVinoNetwork(load_model("scenes_light"), converted, "fp32")
    for height in (32, 64, 32, 96):
        network.prepare((height, 64))
    assert list(network._requests) == [(32, 64), (96, 64)]


def test_a_different_result_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(openvino_conversion, "TOLERANCE", 1e-12)
    with pytest.raises(ExportError, match=r"differs from PyTorch's by .*: set backend to torch"):
        convert_to_openvino(load_model("scenes_light"), tmp_path / "model.xml")


def test_unsuitable_requests_are_refused(tmp_path: Path) -> None:
    checkpoint = load_model("scenes_light")
    with pytest.raises(CheckpointError, match="fp16 here: set precision to auto or fp32"):
        OpenVinoNetwork(checkpoint, tmp_path / "model.xml", "fp16")
    (tmp_path / "model.xml").write_text("nothing")
    with pytest.raises(CheckpointError, match="cannot be read by OpenVINO"):
        OpenVinoNetwork(checkpoint, tmp_path / "model.xml", "fp32")
    with pytest.raises(CheckpointError, match="set compile to false, or backend to torch"):
        Predictor(checkpoint, compile_network=True, runtime="openvino")


def test_a_processor_that_cannot_run_it_is_a_refusal(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenVINO does for bf16 on a processor with AVX2."""
    network = OpenVinoNetwork(load_model("scenes_light"), converted, "fp32")
    monkeypatch.setattr(network, "_options", {"INFERENCE_PRECISION_HINT": "nonsense"})
    with pytest.raises(
        CheckpointError, match=r"cannot run the network on this processor .*: set backend and precision"
    ):
        network.prepare((64, 64))


def test_a_missing_openvino_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(CheckpointError, match="type pip install openvino"):
        Predictor(load_model("scenes_light"), runtime="openvino")


REPORTS = """
import sys, threading
from ciae_ros.inference.loading.optional_runtimes import import_onnxruntime, import_openvino
import os
if sys.argv[1] == "openvino":
    assert import_openvino().__version__
    print("openvino_telemetry" in {name for name, module in sys.modules.items() if module is not None})
else:
    session = import_onnxruntime().InferenceSession(sys.argv[2])
    print(any("onnxruntime" in name for _, folders, files in os.walk(os.environ["XDG_CACHE_HOME"]) for name in files))
"""


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_no_use_is_reported_to_the_vendor(runtime: str, exported_light: Path, tmp_path: Path) -> None:
    """OpenVINO reports each import, and ONNX Runtime each session, after it has written a file into the cache."""
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", REPORTS, runtime, str(exported_light)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert found.stdout == "False\n"
