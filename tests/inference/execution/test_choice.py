# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The fastest way to run a network that gives the same results is found, once for each machine and model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ciae_ros.inference import load_model
from ciae_ros.inference.execution import choice, measurement, processor
from ciae_ros.inference.execution.choice import Execution, choose_execution
from ciae_ros.inference.execution.measurement import Candidate, Measurement, measure
from ciae_ros.inference.execution.processor import has_bf16

SIZE = (48, 64)
"""(height, width) of the images."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ciae_ros"


def choose(backend: str = "auto", precision: str = "auto", **options: Any) -> Execution:
    return choose_execution(load_model("scenes_light"), "cpu", backend, precision, SIZE, 64, **options)


def given(monkeypatch: pytest.MonkeyPatch, **milliseconds: float | str) -> list[list[str]]:
    """Let candidates have these times, or errors; returns a list to which the candidates of each call are added."""
    calls: list[list[str]] = []

    def measured(checkpoint: object, candidates: list[Candidate], size: object, input_size: int) -> list[Measurement]:
        calls.append([str(each) for each in candidates])
        found = {str(each): milliseconds[str(each).replace(" ", "_")] for each in candidates}
        return [
            Measurement(each, 0.0, 0.0, error=value)
            if isinstance(value := found[str(each)], str)
            else Measurement(each, 1e-3 * value, 0.99 if value < 1 else 1.0)
            for each in candidates
        ]

    monkeypatch.setattr(choice, "measure", measured)
    monkeypatch.setattr(choice, "has_bf16", lambda: True)
    monkeypatch.setattr(choice, "_are_installed", lambda packages: True)
    return calls


def test_the_fastest_one_is_chosen_and_the_reason_stated(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = given(
        monkeypatch, torch_fp32=48.0, torch_bf16=31.0, openvino_fp32=45.0, openvino_bf16=19.0, onnx_fp32="not measured"
    )
    found = choose()
    assert (found.runtime, found.precision) == ("openvino", "bf16")
    assert found.reason == (
        "fastest of openvino bf16 19.0 ms, torch bf16 31.0 ms, openvino fp32 45.0 ms, torch fp32 48.0 ms, "
        "onnx fp32 (not measured)"
    )
    assert calls == [["torch fp32", "torch bf16", "openvino fp32", "openvino bf16", "onnx fp32"]]
    # The same question is answered from the cache, another one is not.
    assert choose() == found
    assert len(calls) == 1
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    choose()
    assert len(calls) == 2


def test_what_is_inexact_or_fails_or_hardly_faster_is_not_chosen(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch, torch_fp32=48.0, torch_bf16=0.5, openvino_fp32=47.0, openvino_bf16="cannot run: it", onnx_fp32=46.0
    )
    found = choose()
    assert (found.runtime, found.precision) == ("torch", "fp32")
    assert "torch bf16 (too inexact: cosine similarity 0.9900)" in found.reason
    assert "openvino bf16 (cannot run: it)" in found.reason


def test_parameters_restrict_the_candidates(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"torch_fp32": 9.0, "torch_bf16": 8.0, "openvino_fp32": 7.0, "openvino_bf16": 6.0, "onnx_fp32": 5.0}
    calls = given(monkeypatch, **times)
    assert choose(precision="fp32").runtime == "onnx"
    assert calls.pop() == ["torch fp32", "openvino fp32", "onnx fp32"]
    assert choose(backend="torch").precision == "bf16"
    assert calls.pop() == ["torch fp32", "torch bf16"]
    assert choose(compile_network=True).runtime == "torch"
    # Nothing is measured where there is no choice.
    calls.clear()
    assert choose("openvino", "fp32") == Execution("openvino", "fp32")
    assert choose("onnx") == Execution("onnx", "fp32")
    assert choose("tensorrt", "bf16") == Execution("tensorrt", "bf16")
    monkeypatch.setattr(choice, "has_bf16", lambda: False)
    monkeypatch.setattr(choice, "_are_installed", lambda packages: not packages)
    assert choose() == Execution("torch", "fp32")
    # What a CPU refuses is not measured either.
    assert choose(precision="fp16") == Execution("torch", "fp16")
    found = choose_execution(load_model("scenes_light"), "cuda", "auto", "auto", SIZE)
    assert found == Execution("torch", "fp16")
    assert calls == []


def test_a_damaged_measurement_is_repeated(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = given(monkeypatch, torch_fp32=9.0, torch_bf16=8.0)
    expected = choose(backend="torch")
    (path,) = (cache / "measurements").glob("*.json")
    for damaged in ("", "{", "{}", '{"measurements": [{}]}'):
        path.write_text(damaged)
        assert choose(backend="torch") == expected
        assert choose(backend="torch") == expected
    assert len(calls) == 5


def test_without_a_cache_it_is_measured_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    calls = given(monkeypatch, torch_fp32=9.0, torch_bf16=8.0)
    assert [choose(backend="torch").precision for _ in range(2)] == ["bf16", "bf16"]
    assert len(calls) == 2
    assert "set XDG_CACHE_HOME" in caplog.text


def test_real_candidates_are_measured_and_the_model_stays_as_it_is(cache: Path) -> None:
    checkpoint = load_model("scenes_light")
    before = {key: value.clone() for key, value in checkpoint.model.state_dict().items()}
    candidates = [Candidate("torch", "fp32"), Candidate("torch", "bf16"), Candidate("openvino", "fp16")]
    full, half, impossible = measure(checkpoint, candidates, (64, 96), 64)
    assert 0 < full.seconds < 10 and 0 < half.seconds < 10
    assert full.similarity == pytest.approx(1.0, abs=1e-6)
    assert measurement.MIN_SIMILARITY < half.similarity < 1.0
    assert impossible.error.startswith("cannot run: ")
    assert all(torch.equal(value, before[key]) for key, value in checkpoint.model.state_dict().items())


def test_an_export_is_saved_where_it_cannot_win(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"torch fp32": 1.0, "torch bf16": 0.5}
    similarity: dict[str, float] = {}

    def measured(checkpoint: object, each: Candidate, *rest: object) -> Measurement:
        return Measurement(each, times.get(str(each), 0.9), similarity.get(str(each), 1.0))

    monkeypatch.setattr(measurement, "_measure_one", measured)
    candidates = [Candidate("torch", "fp32"), Candidate("torch", "bf16"), Candidate("onnx", "fp32")]
    assert measure(load_model("scenes_light"), candidates, (64, 64), 64)[2].error.startswith("not measured")
    # bf16 that cannot be taken does not count.
    similarity["torch bf16"] = 0.9
    assert not measure(load_model("scenes_light"), candidates, (64, 64), 64)[2].error
    similarity.clear()
    times["torch bf16"] = 0.7
    assert not measure(load_model("scenes_light"), candidates, (64, 64), 64)[2].error


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"flags": "fpu avx2 avx512f avx512_bf16"}, True),
        ({"flags": "fpu avx2 amx_bf16 amx_tile"}, True),
        ({"Features": "fp asimd bf16"}, True),
        ({"flags": "fpu avx2 avx512f"}, False),
        ({}, False),
    ],
)
def test_instructions_for_bf16(info: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_cpu_info", lambda: info)
    assert has_bf16() == expected


LIMITED = """
from ciae_ros.inference import load_model
from ciae_ros.inference.execution.choice import choose_execution
print(choose_execution(load_model("scenes_light"), "cpu", "torch", "auto", (192, 256), 192))
"""


@pytest.mark.slow
@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_without_instructions_for_bf16_fp32_is_chosen(tmp_path: Path) -> None:
    """oneDNN's limit simulates a processor whose instructions for bf16 are missing, where bf16 is emulated slowly."""
    environment = os.environ | {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": ":".join(sys.path),
    }
    found = subprocess.run(
        [sys.executable, "-c", LIMITED], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert found.stdout.startswith("Execution(runtime='torch', precision='fp32', reason='fastest of torch fp32 ")
