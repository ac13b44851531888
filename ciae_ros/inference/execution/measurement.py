# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Time and accuracy of a network in several runtimes and precisions."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.backends.building import build_backend
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.named_models import ONNX

CPU = torch.device("cpu")
MAX_REASON = 200
"""Maximum number of characters of an error."""
MIN_RUNS, MAX_RUNS = 3, 10
MIN_SIMILARITY = 0.998
"""Minimum `Measurement.similarity`. With the shipped model bf16 has 0.9993; on four data sets its mIoU changes by 0.2
at most, and its PQ by -0.6 to 0.1 (docs/benchmarks.md)."""
TOO_SLOW = 0.6
"""ONNX Runtime, which runs only fp32, is not measured if bf16 takes less than this share of the time of fp32."""
TOO_SLOW_REASON = "not measured, because bf16 is much faster than fp32"
MAX_SECONDS = 0.5
"""Duration of the runs of one candidate, unless `MIN_RUNS` take longer."""


@dataclass(frozen=True)
class Candidate:
    """A way to run a network on a CPU."""

    runtime: str
    """One of `RUNTIMES`."""
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


@dataclass(frozen=True)
class Measurement:
    """The result of a candidate."""

    candidate: Candidate
    seconds: float
    """Shortest time of the network for an image."""
    similarity: float
    """Mean cosine similarity of the pixels' embeddings to those of PyTorch in float32."""
    error: str = ""
    """Why the candidate cannot be used or was not measured; the other fields are meaningless then."""

    @property
    def is_usable(self) -> bool:
        """Whether the candidate runs and its embeddings are those of PyTorch in float32, nearly."""
        return not self.error and self.similarity >= MIN_SIMILARITY


def measure(
    checkpoint: Checkpoint, candidates: list[Candidate], size: tuple[int, int], input_size: int
) -> list[Measurement]:
    """Run each candidate on an image.

    Args:
        checkpoint: not modified.
        candidates: what is measured; ONNX Runtime should be the last one.
        size: padded (height, width) of the image.
        input_size: length in pixels to which an image's shorter side is resized.
    """
    image = _smooth_image(size)
    found: list[Measurement] = []
    with torch.inference_mode():
        reference = build_backend(copy.deepcopy(checkpoint), CPU, "fp32").run_network(image).embedding
        for candidate in candidates:
            if candidate.runtime == ONNX and _is_too_slow(found):
                found.append(Measurement(candidate, 0.0, 0.0, error=TOO_SLOW_REASON))
            else:
                found.append(_measure_one(checkpoint, candidate, image, reference, input_size))
    return found


def _is_too_slow(found: list[Measurement]) -> bool:
    """Return whether the export to ONNX, which takes longer than all measurements, can be saved."""
    full, half = (
        [each.seconds for each in found if each.is_usable and (each.candidate.precision == "fp32") == is_full]
        for is_full in (True, False)
    )
    return bool(full) and min(half, default=math.inf) < TOO_SLOW * min(full)


def _measure_one(
    checkpoint: Checkpoint, candidate: Candidate, image: Tensor, reference: Tensor, input_size: int
) -> Measurement:
    try:
        backend = build_backend(
            copy.deepcopy(checkpoint), CPU, candidate.precision, input_size, runtime=candidate.runtime
        )
        backend.prepare((image.shape[2], image.shape[3]))
        image = image.to(backend.input_dtype)
        embedding = backend.run_network(image).embedding.float()
        similarity = F.cosine_similarity(embedding, reference, dim=1).mean().item()
        times: list[float] = []
        while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and sum(times) < MAX_SECONDS):
            start = time.perf_counter()
            backend.run_network(image)
            times.append(time.perf_counter() - start)
    except (CheckpointError, RuntimeError) as error:
        # A runtime that cannot run this network on this processor must not keep the others from running it.
        reason = " ".join(str(error).split()) or type(error).__name__
        return Measurement(candidate, 0.0, 0.0, error=f"cannot run: {reason[:MAX_REASON]}")
    return Measurement(candidate, min(times), similarity)


def _smooth_image(size: tuple[int, int]) -> Tensor:
    """Return (1, 3, H, W) channels last, as smooth as a photograph, of normalised values."""
    coarse = torch.randn(1, 3, 9, 16, generator=torch.Generator().manual_seed(0))
    image = F.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
    return image.contiguous(memory_format=torch.channels_last)
