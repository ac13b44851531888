# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The runtime and precision of a network: as the parameters demand, or the fastest that gives the same embeddings."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path

from ciae_ros.core.user_cache import cache_folder, cached, remove
from ciae_ros.inference.conversion.versions import ONNX_PACKAGES, versions, weights_digest
from ciae_ros.inference.device_choice import choose_precision
from ciae_ros.inference.execution.measurement import MIN_SIMILARITY, Candidate, Measurement, measure
from ciae_ros.inference.execution.processor import describe_processor, has_bf16
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.named_models import AUTO, ONNX, OPENVINO, TENSORRT, TORCH, Model

FOLDER = "measurements"

NEEDED = {TORCH: (), OPENVINO: ("openvino",), ONNX: ONNX_PACKAGES}
"""Packages that a runtime needs, for those that run on a CPU."""

MIN_GAIN = 0.05
"""Share of the time that a candidate must save to be preferred to one listed before it, which is the plainer one."""


@dataclass(frozen=True)
class Execution:
    """How a network is run."""

    runtime: str
    """One of `RUNTIMES`; without meaning for an exported model, which has its own."""
    precision: str
    reason: str = ""
    """Why it was chosen, human-readable; empty if there was no choice."""


def choose_execution(
    model: Model,
    device: str,
    backend: str,
    precision: str,
    image_size: tuple[int, int],
    input_size: int | None = None,
    compile_network: bool = False,
    log: Callable[[str], object] = lambda line: None,
) -> Execution:
    """Resolve "auto" for a model on a device.

    On a CPU the candidates are measured, which takes a few seconds, and longer if the network must be converted first.
    The results are kept in the user's cache, for the same processor, model, size and versions.

    Args:
        model: the model; not modified.
        device: "cpu" or the name of a CUDA device.
        backend: one of `BACKENDS`.
        precision: one of `DTYPES`, or "auto".
        image_size: (height, width) of the images for which the candidates are measured.
        input_size: length of the shorter side in the network, in pixels; that of the model if None.
        compile_network: the network will be compiled by PyTorch.
        log: called with a line before something takes long.

    Raises:
        CheckpointError: the device does not support the precision of an exported model.
    """
    runtime = TORCH if backend == AUTO else backend
    # fp16 is refused on a CPU, by the predictor.
    if device != "cpu" or precision == "fp16" or not isinstance(model, Checkpoint):
        return Execution(runtime, choose_precision(precision, model, device))
    candidates = _candidates(backend, precision, compile_network)
    if len(candidates) == 1:
        return Execution(candidates[0].runtime, candidates[0].precision)
    config = model.config if input_size is None else model.config.at_input_size(input_size)
    size = InputFormat.of_model(config).geometry(*image_size).padded
    return _fastest(_measured(model, candidates, size, config.input_size, log))


def _candidates(backend: str, precision: str, compile_network: bool) -> list[Candidate]:
    """Return what the parameters and the machine leave, the plainest first."""
    runtimes = [backend]
    if backend == AUTO:
        runtimes = [TORCH] if compile_network else [name for name, needed in NEEDED.items() if _are_installed(needed)]
    precisions = [precision]
    if precision == AUTO:
        precisions = ["fp32", "bf16"] if has_bf16() else ["fp32"]
    found = [
        Candidate(runtime, each)
        for runtime in runtimes
        for each in precisions
        # ONNX Runtime has hardly any operator for bf16 on a CPU.
        if each == "fp32" or runtime not in (ONNX, TENSORRT)
    ]
    return found or [Candidate(runtimes[0], precisions[0])]


def _are_installed(packages: tuple[str, ...]) -> bool:
    return all(util.find_spec(name) is not None for name in packages)


def _fastest(measurements: list[Measurement]) -> Execution:
    usable = [each for each in measurements if each.is_usable]
    # Without any, the first one is tried, which then says why it cannot be used.
    best = usable[0] if usable else measurements[0]
    for each in usable[1:]:
        if each.seconds < (1 - MIN_GAIN) * best.seconds:
            best = each
    others = sorted(
        (each for each in measurements if each is not best), key=lambda each: (bool(each.error), each.seconds)
    )
    reason = ", ".join(map(_describe, [best, *others]))
    return Execution(best.candidate.runtime, best.candidate.precision, f"fastest of {reason}")


def _describe(found: Measurement) -> str:
    if found.error:
        return f"{found.candidate} ({found.error})"
    if found.similarity < MIN_SIMILARITY:
        return f"{found.candidate} (too inexact: cosine similarity {found.similarity:.4f})"
    return f"{found.candidate} {1e3 * found.seconds:.1f} ms"


def _measured(
    checkpoint: Checkpoint,
    candidates: list[Candidate],
    size: tuple[int, int],
    input_size: int,
    log: Callable[[str], object],
) -> list[Measurement]:
    """Return the measurements of the candidates from the cache, or measure them."""
    key = {
        "weights": weights_digest(checkpoint),
        "size": f"{size[0]}x{size[1]}",
        "input_size": str(input_size),
        "candidates": ", ".join(map(str, candidates)),
        **describe_processor(),
        **versions("torch", "openvino", *ONNX_PACKAGES),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder(FOLDER) / f"{name}.json"
    found: list[Measurement] = []

    def write(unfinished: Path) -> None:
        log(f"measuring {key['candidates']}, once for this machine and model")
        found.extend(measure(checkpoint, candidates, size, input_size))
        content = {"key": key, "measurements": [asdict(each) for each in found]}
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    for _ in range(2):
        try:
            cached(path, write)
            return found or _read(path)
        except OSError as error:
            logging.getLogger(__name__).warning("%s cannot be written (%s): set XDG_CACHE_HOME", path, error.strerror)
            return found or measure(checkpoint, candidates, size, input_size)
        except (KeyError, TypeError, ValueError):
            remove(path)  # It was damaged: measure again.
    raise AssertionError("a file that was just written cannot be read")


def _read(path: Path) -> list[Measurement]:
    """Read measurements.

    Raises:
        KeyError, TypeError or ValueError: the file does not contain any.
    """
    entries = json.loads(path.read_text(encoding="utf-8"))["measurements"]
    return [Measurement(**entry | {"candidate": Candidate(**entry["candidate"])}) for entry in entries]
