# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tables I to X of the paper as data: what each row is trained with, how it is evaluated, what the paper found.

Of Tables I and II only the paper's own rows are here. All scores are percentages.
"""

from __future__ import annotations

from dataclasses import dataclass

from ciae_ros.model.config import InstanceCategory


@dataclass(frozen=True)
class Evaluation:
    """How a trained model is evaluated; one model may serve several rows."""

    input_size: int | None = None
    """Shorter side in the network, in pixels; the model's own if None."""
    instance_category: InstanceCategory | None = None
    """Where an instance's category comes from (Table IV); the model's own if None."""
    oracle: bool = False
    """With ground-truth boxes and masks (Table V)."""
    test_dev: bool = False
    """On COCO's test-dev, whose annotations only its server has: results are written, not scored (Table II)."""

    @property
    def name(self) -> str:
        """Distinguishes the evaluations of one model; part of file names."""
        parts = (
            f"{self.input_size}" if self.input_size else "",
            self.instance_category or "",
            "oracle" if self.oracle else "",
            "test-dev" if self.test_dev else "",
        )
        return "_".join(filter(None, parts))


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str
    config: str
    """File in config/training/paper, without .yaml. Rows of the same model share it, and so its training."""
    figures: tuple[float, ...]
    """What the paper gives, in the order of the table's columns; nothing where its training did not converge."""
    evaluation: Evaluation = Evaluation()
    small_config: str | None = None
    """The file at small scale, where small.yaml would make `config` another model than the row says."""
    not_small: str = ""
    """Why the row makes no sense at small scale, if it does not."""


@dataclass(frozen=True)
class Table:
    """One table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    reference: str
    """Name of the row that the others are compared with: the default model, but for Tables I and II."""

    def paper(self, row: Row, column: str) -> float | None:
        """The paper's figure, if the row has one."""
        return row.figures[self.columns.index(column)] if row.figures else None


PQ = ("PQ", "PQ_th", "PQ_st")
SQ_RQ = ("PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st")
TIMES = ("inference_ms", "fusing_ms")
"""End to end, of which fusion; on a 2080 Ti, one image at a time (Sec. V-C)."""

DEFAULT = (37.9, 42.5, 30.9)
"""PQ, PQ_th and PQ_st of the default model, which is a row of each of Tables III to X."""
DEFAULT_MIOU = (*DEFAULT, 48.5)
"""The same with its mIoU."""

COCO_SIZES = "its input size is for COCO's images"
BACKBONE = "its backbone is the row, and at small scale all rows have the light one"
EMBEDDING = Evaluation(instance_category="embedding")
ORACLE = Evaluation(oracle=True)


def _on_test_dev(name: str, config: str, figures: tuple[float, ...]) -> Row:
    return Row(name, config, figures, Evaluation(test_dev=True), not_small="only COCO's server can score it")


TABLES = {
    "table1": Table(
        "Table I: COCO val, trained longer, with scale jitter",
        (*PQ, *TIMES),
        (
            # Named as the presets that they are.
            Row("r50_512", "table1_r50", (38.7, 43.2, 32.8, 48, 4), Evaluation(input_size=512), not_small=COCO_SIZES),
            Row("r50_640", "table1_r50", (39.5, 44.4, 33.1, 59, 6), Evaluation(input_size=640), not_small=COCO_SIZES),
            Row("r50_800", "table1_r50", (40.2, 45.3, 32.3, 80, 7), not_small=COCO_SIZES),
            Row("r101_800", "table1_r101", (41.4, 46.4, 33.9, 96, 7), not_small=BACKBONE),
            Row("r101_dcn_800", "table1_r101_dcn", (44.2, 49.2, 36.7, 111, 7), not_small=BACKBONE),
            Row("x101_dcn_800", "table1_x101_dcn", (45.7, 51.2, 37.5, 176, 7), not_small=BACKBONE),
        ),
        reference="r50_800",
    ),
    "table2": Table(
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
    "table3": Table(
        "Table III: stuff from a semantic branch of its own (inconsistent) or from the embedding (consistent)",
        (*PQ, "mIoU"),
        (
            Row("inconsistent", "table3_inconsistent", (35.6, 38.1, 30.6, 48.0)),
            Row("consistent", "default", DEFAULT_MIOU),
        ),
        reference="consistent",
    ),
    "table4": Table(
        "Table IV: an instance's category from the embedding (E) or the detector (D)",
        (*PQ, "mIoU"),
        (
            # CateNumE is C_st + C_th, C_st + C_th, C_st + C_th, C_st + 1 and C_st; CateNumD 2 in the third row.
            Row("E_per_class", "table4_per_class", (36.7, 40.7, 30.4, 48.8), EMBEDDING),
            Row("D_per_class", "table4_per_class", (37.7, 42.6, 30.4, 49.9)),
            Row("E_class_agnostic", "table4_class_agnostic", (35.5, 39.4, 29.6, 47.5)),
            Row("D_merged", "default", DEFAULT_MIOU),
            Row("D_no_things", "table4_no_things", (37.1, 41.8, 30.1, 48.4)),
        ),
        reference="D_merged",
    ),
    "table5": Table(
        "Table V: the oracle has ground-truth boxes and masks",
        PQ,
        (
            Row("r50", "default", DEFAULT),
            Row("r50_oracle", "default", (59.2, 75.8, 34.1), ORACLE),
            Row("r101", "table5_r101", (40.8, 45.4, 33.8), not_small=BACKBONE),
            Row("r101_oracle", "table5_r101", (60.0, 76.2, 35.7), ORACLE, not_small=BACKBONE),
        ),
        reference="r50",
    ),
    "table6": Table(
        "Table VI: CoordConv and box embeddings",
        PQ,
        (
            Row("neither", "table6_neither", (37.1, 41.8, 30.0)),
            Row("coord_conv", "table6_coord_conv", (37.5, 42.3, 30.2)),
            Row("box_embedding", "table6_box_embedding", (37.8, 42.5, 30.8)),
            Row("both", "default", DEFAULT),
        ),
        reference="both",
    ),
    "table7": Table(
        "Table VII: momentum of the memory (0.9999 rises as Eq. 13 says, the others are constant)",
        PQ,
        (
            Row("0", "table7_momentum_0", ()),
            Row("0.99", "table7_momentum_0.99", (37.5, 42.2, 30.2)),
            Row("0.999", "table7_momentum_0.999", (37.7, 42.6, 30.3)),
            Row("0.9999", "default", DEFAULT, small_config="table7_momentum_0.9999"),
            Row("0.99999", "table7_momentum_0.99999", (37.4, 42.1, 30.4)),
        ),
        reference="0.9999",
    ),
    "table8": Table(
        "Table VIII: expansion of the boxes that filter remote instances (All: no filter)",
        PQ,
        (
            Row("All", "table8_box_all", (36.6, 41.1, 29.8)),
            Row("2.0", "table8_box_2.0", (37.4, 42.1, 30.4)),
            Row("1.5", "default", DEFAULT),
            Row("1.2", "table8_box_1.2", (37.8, 42.3, 30.8)),
            Row("1.0", "table8_box_1.0", (36.6, 40.8, 30.1)),
        ),
        reference="1.5",
    ),
    "table9": Table(
        "Table IX: margin of the triplet losses",
        PQ,
        (
            Row("0.30", "table9_margin_0.30", (36.5, 39.9, 30.9)),
            Row("0.20", "table9_margin_0.20", (37.7, 41.9, 31.0)),
            Row("0.15", "default", DEFAULT),
            Row("0.10", "table9_margin_0.10", (37.6, 42.5, 30.2)),
            Row("0.00", "table9_margin_0.00", (28.7, 36.2, 17.2)),
        ),
        reference="0.15",
    ),
    "table10": Table(
        "Table X: dimensions of the embedding",
        PQ,
        (
            Row("48", "table10_dim_48", (37.9, 42.5, 31.0)),
            Row("32", "default", DEFAULT),
            Row("24", "table10_dim_24", (37.8, 42.6, 30.6)),
            Row("16", "table10_dim_16", (37.3, 42.2, 30.0)),
        ),
        reference="32",
    ),
}
