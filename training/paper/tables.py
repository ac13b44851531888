# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tables I to X of the paper as data: configuration, evaluation and published results of each row.

Tables I and II contain only the rows of the paper's method. All scores are percentages.
"""

from __future__ import annotations

from dataclasses import dataclass

from ciae_ros.model.config import InstanceCategory


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a trained model, which several rows may share."""

    input_size: int | None = None
    """Shorter side of the network's input in pixels; None: as in the model."""
    instance_category: InstanceCategory | None = None
    """Source of an instance's category (Table IV); None: as in the model."""
    oracle: bool = False
    """Whether to use ground-truth boxes and masks (Table V)."""
    test_dev: bool = False
    """Whether to write results for COCO's test-dev, whose annotations are not public (Table II)."""

    @property
    def name(self) -> str:
        """Return a name that is unique among the evaluations of a model, for file names."""
        parts = (
            f"{self.input_size}" if self.input_size else "",
            self.instance_category or "",
            "oracle" if self.oracle else "",
            "test-dev" if self.test_dev else "",
        )
        return "_".join(filter(None, parts))


@dataclass(frozen=True)
class PaperRow:
    """A row of a table."""

    name: str
    config: str
    """File in config/training/paper, without .yaml. Rows of the same model share it and its training."""
    published: tuple[float, ...] | None
    """Published results in the order of the table's columns; empty if the paper's training did not converge, None if
    the paper does not have the row."""
    evaluation: Evaluation = Evaluation()
    small_config: str | None = None
    """File at small scale, where small.yaml would override what the row varies."""
    not_small: str = ""
    """Why the row is not reproduced at small scale; empty if it is."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    reference: str
    """Name of the row that others are compared with: the default model, except in Tables I and II."""

    def paper(self, row: PaperRow, column: str) -> float | None:
        """Return the published result, if any."""
        return row.published[self.columns.index(column)] if row.published else None


PQ = ("PQ", "PQ_th", "PQ_st")
SQ_RQ = ("PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st")
TIMES = ("inference_ms", "fusion_ms")
"""End-to-end time, and the part of fusion; on a 2080 Ti, one image at a time (Sec. V-C)."""

DEFAULT = (37.9, 42.5, 30.9)
"""PQ, PQ_th and PQ_st of the default model, a row of each of Tables III to X."""
DEFAULT_MIOU = (*DEFAULT, 48.5)
"""PQ, PQ_th, PQ_st and mIoU of the default model."""

COCO_SIZES = "its input size is for COCO's images"
BACKBONE = "its backbone is the row, and at small scale all rows have the light one"
EMBEDDING = Evaluation(instance_category="embedding")
ORACLE = Evaluation(oracle=True)
AT_512, AT_640 = Evaluation(input_size=512), Evaluation(input_size=640)


def _on_test_dev(name: str, config: str, published: tuple[float, ...]) -> PaperRow:
    return PaperRow(name, config, published, Evaluation(test_dev=True), not_small="only COCO's server can score it")


TABLES = {
    "table1": PaperTable(
        "Table I: COCO val, trained longer, with scale jitter",
        (*PQ, *TIMES),
        (
            # Named like the presets.
            PaperRow("r50_512", "table1_r50", (38.7, 43.2, 32.8, 48, 4), AT_512, not_small=COCO_SIZES),
            PaperRow("r50_640", "table1_r50", (39.5, 44.4, 33.1, 59, 6), AT_640, not_small=COCO_SIZES),
            PaperRow("r50_800", "table1_r50", (40.2, 45.3, 32.3, 80, 7), not_small=COCO_SIZES),
            PaperRow("r101_800", "table1_r101", (41.4, 46.4, 33.9, 96, 7), not_small=BACKBONE),
            PaperRow("r101_dcn_800", "table1_r101_dcn", (44.2, 49.2, 36.7, 111, 7), not_small=BACKBONE),
            PaperRow("x101_dcn_800", "table1_x101_dcn", (45.7, 51.2, 37.5, 176, 7), not_small=BACKBONE),
        ),
        reference="r50_800",
    ),
    "table2": PaperTable(
        "Table II: COCO test-dev, the models of Table I",
        SQ_RQ,
        (
            _on_test_dev("r50", "table1_r50", (40.3, 78.1, 50.3, 45.2, 79.7, 55.9, 32.9, 75.8, 41.8)),
            _on_test_dev("r101", "table1_r101", (42.1, 78.7, 52.3, 47.6, 80.2, 58.5, 34.0, 76.4, 42.9)),
            _on_test_dev("r101_dcn", "table1_r101_dcn", (44.5, 80.0, 54.6, 49.7, 81.1, 60.6, 36.8, 78.3, 45.7)),
            _on_test_dev("x101_dcn", "table1_x101_dcn", (46.3, 80.4, 56.6, 51.8, 81.4, 63.0, 37.9, 78.8, 46.9)),
        ),
        reference="r50",
    ),
    "table3": PaperTable(
        "Table III: stuff from a semantic branch of its own (inconsistent) or from the embedding (consistent)",
        (*PQ, "mIoU"),
        (
            PaperRow("inconsistent", "table3_inconsistent", (35.6, 38.1, 30.6, 48.0)),
            PaperRow("consistent", "default", DEFAULT_MIOU),
        ),
        reference="consistent",
    ),
    "table4": PaperTable(
        "Table IV: an instance's category from the embedding (E) or the detector (D)",
        (*PQ, "mIoU"),
        (
            # CateNumE is C_st + C_th, C_st + C_th, C_st + C_th, C_st + 1 and C_st; CateNumD 2 in the third row.
            PaperRow("E_per_class", "table4_per_class", (36.7, 40.7, 30.4, 48.8), EMBEDDING),
            PaperRow("D_per_class", "table4_per_class", (37.7, 42.6, 30.4, 49.9)),
            PaperRow("E_class_agnostic", "table4_class_agnostic", (35.5, 39.4, 29.6, 47.5)),
            PaperRow("D_merged", "default", DEFAULT_MIOU),
            PaperRow("D_no_things", "table4_no_things", (37.1, 41.8, 30.1, 48.4)),
        ),
        reference="D_merged",
    ),
    "table5": PaperTable(
        "Table V: the oracle has ground-truth boxes and masks",
        PQ,
        (
            PaperRow("r50", "default", DEFAULT),
            PaperRow("r50_oracle", "default", (59.2, 75.8, 34.1), ORACLE),
            PaperRow("r101", "table5_r101", (40.8, 45.4, 33.8), not_small=BACKBONE),
            PaperRow("r101_oracle", "table5_r101", (60.0, 76.2, 35.7), ORACLE, not_small=BACKBONE),
        ),
        reference="r50",
    ),
    "table6": PaperTable(
        "Table VI: CoordConv and box embeddings",
        PQ,
        (
            PaperRow("neither", "table6_neither", (37.1, 41.8, 30.0)),
            PaperRow("coord_conv", "table6_coord_conv", (37.5, 42.3, 30.2)),
            PaperRow("box_embedding", "table6_box_embedding", (37.8, 42.5, 30.8)),
            PaperRow("both", "default", DEFAULT),
        ),
        reference="both",
    ),
    "table7": PaperTable(
        "Table VII: momentum m of the memory (0.9999 rises as Eq. 13 says, the others are constant; memory.rising=true "
        "lets all of them rise, with 1 - m in place of 0.0001)",
        PQ,
        (
            PaperRow("0", "table7_momentum_0", ()),
            PaperRow("0.99", "table7_momentum_0.99", (37.5, 42.2, 30.2)),
            PaperRow("0.999", "table7_momentum_0.999", (37.7, 42.6, 30.3)),
            PaperRow("0.9999", "default", DEFAULT, small_config="table7_momentum_0.9999"),
            PaperRow("0.99999", "table7_momentum_0.99999", (37.4, 42.1, 30.4)),
        ),
        reference="0.9999",
    ),
    "table8": PaperTable(
        "Table VIII: expansion of the boxes that filter remote instances (All: no filter)",
        PQ,
        (
            PaperRow("All", "table8_box_all", (36.6, 41.1, 29.8)),
            PaperRow("2.0", "table8_box_2.0", (37.4, 42.1, 30.4)),
            PaperRow("1.5", "default", DEFAULT),
            PaperRow("1.2", "table8_box_1.2", (37.8, 42.3, 30.8)),
            PaperRow("1.0", "table8_box_1.0", (36.6, 40.8, 30.1)),
        ),
        reference="1.5",
    ),
    "table9": PaperTable(
        "Table IX: margin of the triplet losses",
        PQ,
        (
            PaperRow("0.30", "table9_margin_0.30", (36.5, 39.9, 30.9)),
            PaperRow("0.20", "table9_margin_0.20", (37.7, 41.9, 31.0)),
            PaperRow("0.15", "default", DEFAULT),
            PaperRow("0.10", "table9_margin_0.10", (37.6, 42.5, 30.2)),
            PaperRow("0.00", "table9_margin_0.00", (28.7, 36.2, 17.2)),
        ),
        reference="0.15",
    ),
    "table10": PaperTable(
        "Table X: dimensions of the embedding",
        PQ,
        (
            PaperRow("48", "table10_dim_48", (37.9, 42.5, 31.0)),
            PaperRow("32", "default", DEFAULT),
            PaperRow("24", "table10_dim_24", (37.8, 42.6, 30.6)),
            PaperRow("16", "table10_dim_16", (37.3, 42.2, 30.0)),
        ),
        reference="32",
    ),
}
