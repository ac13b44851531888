# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Confusions between classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ciae_ros.core.result import UNLABELLED
from ciae_ros.inference import CategorySet
from ciae_ros.replay.report.charts import Labels, matrix_chart
from ciae_ros.replay.report.formatting import percent
from ciae_ros.replay.report.page import Cell, Column, Omission, Row, Section, Table
from ciae_ros.replay.report.sections.quality_section import class_cell

CLASSES = 40
"""Maximum number of rows of the matrix that remain readable."""
CONFUSIONS = 8
"""Number of confusions in the table."""


@dataclass(frozen=True)
class Confusion:
    """Pixels of a class that were assigned to another class or to none."""

    true_id: int
    predicted_id: int
    share: float
    """Share of the true class's pixels."""


def largest_confusions(matrix: pd.DataFrame) -> list[Confusion]:
    """Return the largest off-diagonal shares, largest first."""
    shares = matrix.stack()
    found = [
        Confusion(int(true), int(predicted), float(share))
        for (true, predicted), share in shares.items()
        if true != predicted and share > 0
    ]
    return sorted(found, key=lambda one: -one.share)[:CONFUSIONS]


def confusion_section(matrix: pd.DataFrame, pixels: pd.Series, categories: CategorySet) -> Section | Omission:
    """Build the section with the matrix and its largest confusions.

    Args:
        matrix: shares of the true class's pixels; a row for each true category id, a column for each predicted one.
        pixels: of each true category id.
        categories: of the ids.
    """
    if matrix.empty:
        return Omission("Confusions", "the ground truth has no labelled pixels")
    order = [one.id for one in categories.categories]
    rows = sorted(pixels.nlargest(CLASSES).index, key=order.index)
    columns = [one for one in (*order, UNLABELLED) if one in matrix.columns and (one in rows or one == UNLABELLED)]
    shares = matrix.loc[rows, columns].to_numpy(float)
    caption = "Each row has a true class's pixels: to how many per cent they were given which class."
    if len(pixels) > len(rows):
        caption += f" The {len(rows)} classes with the most pixels of {len(pixels)}."
    labels = Labels("confusion", "predicted", "true", caption)
    plot = matrix_chart(
        labels, [_name(categories, one) for one in rows], [_name(categories, one) for one in columns], shares
    )
    confusions = largest_confusions(matrix)
    right = np.average([_diagonal(matrix, one) for one in pixels.index], weights=pixels)
    text = f"{percent(float(right))} % of all labelled pixels have the right class."
    return Section("confusion", "Confusions", (text,), (plot,), (_table(confusions, categories),) if confusions else ())


def _diagonal(matrix: pd.DataFrame, category_id: int) -> float:
    return float(matrix.loc[category_id, category_id]) if category_id in matrix.columns else 0.0


def _table(confusions: list[Confusion], categories: CategorySet) -> Table:
    columns = (Column("True class", numeric=False), Column("was taken for", numeric=False), Column("% of its pixels"))
    rows = tuple(
        Row(
            (
                _class(categories, one.true_id),
                _class(categories, one.predicted_id),
                Cell(percent(one.share), one.share, one.share),
            )
        )
        for one in confusions
    )
    return Table("The largest confusions.", columns, rows, sorted_by=2, wide=False)


def _class(categories: CategorySet, category_id: int) -> Cell:
    return Cell("nothing (unlabelled)") if category_id == UNLABELLED else class_cell(categories, category_id)


def _name(categories: CategorySet, category_id: int) -> str:
    return "unlabelled" if category_id == UNLABELLED else categories.by_id[category_id].name
