# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""JSON and YAML files are read as UTF-8 in every locale, with or without a byte order mark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciae_ros.core.text_file import read_text

PROGRAM = """
import sys
from pathlib import Path
from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training.config import load_config
assert sys.getfilesystemencoding() != "utf-8"
print(ascii(PanopticAnnotations.load(Path("truth.json")).categories.categories[0].name))
print(ascii(load_config(Path("training.yaml"), []).name))
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_are_read_alike_in_every_locale(tmp_path: Path, encoding: str) -> None:
    categories = [{"id": 1, "name": "Straße", "isthing": 0}, {"id": 2, "name": "Auto", "isthing": 1}]
    truth = {"images": [], "annotations": [], "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth, ensure_ascii=False), encoding=encoding)
    (tmp_path / "training.yaml").write_text("name: Übung\ndata: {train: truth.json}\n", encoding=encoding)
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", PROGRAM]
    program = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert program.stdout.split() == [ascii("Straße"), ascii("Übung")], program.stderr


def test_another_encoding_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes("Straße".encode("latin-1"))
    with pytest.raises(ValueError, match="utf-8"):
        read_text(tmp_path / "latin.json")
