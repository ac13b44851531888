# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Files for programs, next to a page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON with null for NaN, which JSON does not have."""
    path.write_text(json.dumps(plain(values), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Convert a value to plain JSON types; a table becomes a list of objects."""
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write CSV with empty fields for NaN."""
    table.to_csv(path, index=False, errors="replace")
