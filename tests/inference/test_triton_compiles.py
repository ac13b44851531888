# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Every Triton kernel compiles for real devices, without needing one, and keeps its values in registers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from ciae_ros.inference.fusion import triton_assignment, triton_lookup, triton_mask_assignment  # noqa: E402
from ciae_ros.inference.proposals import triton_nms  # noqa: E402
from tests.inference.triton_device import INTERPRETED  # noqa: E402

pytestmark = pytest.mark.skipif(
    INTERPRETED or "nvidia" not in triton.backends.backends, reason="needs Triton's compiler for CUDA"
)

ARCHITECTURES = {"A100": 80, "Orin": 87, "H200": 90}
FEW_BYTES = 64
"""Kernels for which ptxas prefers two blocks of 256 threads on a multiprocessor to keeping everything in registers."""

ASSIGNMENT = {
    **dict.fromkeys(("queries", "boxes", "row_center", "row_fraction", "column_center", "column_fraction"), "*fp32"),
    **dict.fromkeys(("row_cell", "column_cell", "totals"), "*i64"),
    "winners": "*i16",
}
MASKS = {
    **dict.fromkeys(("logits", "scores", "mask_threshold", "row_fraction", "column_fraction"), "*fp32"),
    **dict.fromkeys(("order", "num_kept", "row_cell", "column_cell", "totals", "areas"), "*i64"),
    "winners": "*i16",
}
FINISH = {"totals": "*i64", "area": "*i64", "box": "*i64", "centroid": "*fp64"}
OVERLAPS = {"boxes": "*fp32", "classes": "*i64", "num_valid": "*i64", "overlaps": "*i32"}
GREEDY = {"overlaps": "*i32", "num_valid": "*i64", "kept": "*i64", "num_kept": "*i64"}
LOOK_UP = {"table": "*i16", "index": "*i16", "values": "*i16"}

Measure = Callable[..., int]


@pytest.fixture
def spilled(tmp_path: Path, record_property: Callable[[str, object], None]) -> Measure:
    """Compile a kernel for an architecture; returns the bytes that a thread spills to local memory."""
    from triton.backends.nvidia.compiler import get_ptxas  # noqa: PLC0415

    def compile_and_measure(
        kernel: Any, pointers: dict[str, str], constants: dict[str, Any], architecture: int, **options: Any
    ) -> int:
        types = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in kernel.arg_names}
        # As at run time: PyTorch's tensors are aligned to 16 bytes.
        aligned = {
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(kernel.arg_names)
            if types[name].startswith("*")
        }
        compiled = triton.compile(
            ASTSource(kernel, types, constants, aligned), target=GPUTarget("cuda", architecture, 32), options=options
        )
        ptx = compiled.asm["ptx"]
        source = tmp_path / "kernel.ptx"
        source.write_text(ptx)
        target = re.search(r"\.target (\w+)", ptx)
        assert target and target[1].startswith(f"sm_{architecture}")
        report = subprocess.run(
            [get_ptxas(architecture).path, "-v", f"--gpu-name={target[1]}", source, "-o", tmp_path / "kernel.cubin"],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        registers, stores = re.search(r"Used (\d+) registers", report), re.search(r"(\d+) bytes spill stores", report)
        assert registers and stores, report
        record_property("registers", int(registers[1]))
        record_property("spilled_bytes", int(stores[1]))
        return int(stores[1])

    return compile_and_measure


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize(("depth", "embedding"), [(24, "fp32"), (32, "bf16"), (48, "fp16")])
def test_assignment_spills_next_to_nothing(spilled: Measure, architecture: int, depth: int, embedding: str) -> None:
    constants = triton_assignment.assignment_constants(depth, "ieee")
    pointers = {**ASSIGNMENT, "samples": f"*{embedding}"}
    kernel = triton_assignment.assign_tile
    assert spilled(kernel, pointers, constants, architecture, **triton_assignment.launch_options(depth)) <= FEW_BYTES


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_assignment_of_masks_spills_nothing(spilled: Measure, architecture: int) -> None:
    constants = {
        "TILE_HEIGHT": triton_mask_assignment.TILE_HEIGHT,
        "TILE_WIDTH": triton_mask_assignment.TILE_WIDTH,
        "NUM_FIELDS": triton_assignment.NUM_FIELDS,
        "REPLICAS": triton_assignment.REPLICAS,
    }
    kernel, warps = triton_mask_assignment.assign_mask_tile, triton_mask_assignment.NUM_WARPS
    assert spilled(kernel, MASKS, constants, architecture, num_warps=warps) == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_small_kernels_spill_nothing(spilled: Measure, architecture: int) -> None:
    fields = {"NUM_FIELDS": triton_assignment.NUM_FIELDS, "REPLICAS": triton_assignment.REPLICAS, "BLOCK": 32}
    assert spilled(triton_assignment.finish_statistics, FINISH, fields, architecture, num_warps=4) == 0
    block = {"BLOCK": triton_lookup.BLOCK}
    assert spilled(triton_lookup.look_up_block, LOOK_UP, block, architecture, num_warps=4) == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize("threshold", ["fp32", "fp64"])
def test_suppression_of_5000_boxes_spills_nothing(spilled: Measure, architecture: int, threshold: str) -> None:
    rows = {"BITS": triton_nms.BITS, "BLOCK_ROWS": triton_nms.BLOCK_ROWS}
    pointers = {**OVERLAPS, "threshold": f"*{threshold}"}
    options = {"num_warps": 4, "enable_fp_fusion": False}
    assert spilled(triton_nms.find_overlaps, pointers, rows, architecture, **options) == 0
    words = {"BITS": triton_nms.BITS, "BLOCK_WORDS": 256}
    assert spilled(triton_nms.keep_greedily, GREEDY, words, architecture, num_warps=4) == 0
