# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The tutorial's commands, as they are written, on a short video and a few annotated images."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ciae_ros.inference import load_checkpoint
from ciae_ros.inference.named_models import DEFAULT_MODEL, shipped_models

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("make demo", "source scripts/env.sh")
"""Commands that another test runs."""
NOT_AS_REQUIRED = 3
SIZE = (160, 96)


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if not line.startswith(ELSEWHERE)]


def write_video(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, SIZE)
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8), SIZE)
    for number in range(5):
        writer.write(np.roll(texture, 3 * number, axis=1))
    writer.release()


def write_annotated_images(folder: Path) -> None:
    """Two images, half road, half sky."""
    categories = load_checkpoint(shipped_models()[DEFAULT_MODEL]).categories.to_coco()
    first, second = categories[0]["id"], categories[1]["id"]
    pngs = folder / "annotations" / "panoptic_val"
    for made in (folder / "frames", pngs):
        made.mkdir(parents=True)
    ids = np.ones((*SIZE[::-1], 3), np.uint8) * (0, 0, 1)
    ids[:48] = (0, 0, 2)
    images, annotations = [], []
    for number in range(2):
        cv2.imwrite(str(folder / "frames" / f"{number}.jpg"), np.full((*SIZE[::-1], 3), 90 + number, np.uint8))
        cv2.imwrite(str(pngs / f"{number}.png"), ids)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": SIZE[0], "height": SIZE[1]})
        segments = [{"id": 1, "category_id": first, "iscrowd": 0}, {"id": 2, "category_id": second, "iscrowd": 0}]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": segments})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "panoptic_val.json").write_text(json.dumps(content))


def test_the_tutorials_commands_run_one_after_the_other(tmp_path: Path) -> None:
    write_video(tmp_path / "drive.mp4")
    write_annotated_images(tmp_path)
    shutil.copyfile(shipped_models()[DEFAULT_MODEL], tmp_path / "new.safetensors")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    run = commands()
    assert len(run) >= 7
    for command in run:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        allowed = (0, NOT_AS_REQUIRED) if "--require" in command else (0,)
        assert done.returncode in allowed, f"{command}\n{done.stdout}{done.stderr}"
    for page in ("drive_run/report.html", "drive_node/node/report.html", "comparison/comparison.html"):
        assert (tmp_path / "out" / page).stat().st_size > 10_000
