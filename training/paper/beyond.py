# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Changes that the paper does not have, as a table: each against the paper's default model, then all together."""

from __future__ import annotations

from training.paper.tables import BACKBONE, PQ, PaperRow, PaperTable

CROP = "its crop is for COCO's images"


def _row(name: str, not_small: str = "") -> PaperRow:
    return PaperRow(name, f"../beyond/{name}", None, not_small=not_small)


BEYOND = PaperTable(
    "Beyond the paper: one change each, and the recipes with all of them",
    (*PQ, "mIoU"),
    (
        PaperRow("default", "default", (37.9, 42.5, 30.9, 48.5)),
        _row("giou"),
        _row("center_sampling"),
        _row("atss"),
        _row("quality_focal"),
        _row("auxiliary_semantics"),
        _row("spread_memory"),
        _row("ema"),
        _row("large_scale_jitter", not_small=CROP),
        _row("r50_a1", not_small=BACKBONE),
        _row("regnetx_4gf", not_small=BACKBONE),
        _row("convnext_tiny", not_small=BACKBONE),
        _row("recipe_r50", not_small=BACKBONE),
        _row("recipe_convnext_tiny", not_small=BACKBONE),
    ),
    reference="default",
)
"""Configurations in config/training/beyond. The sources of these changes are in docs/reproduction.md."""
