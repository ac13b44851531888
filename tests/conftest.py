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

"""What many tests share: real images, random seeds, a ROS domain of the test run's own."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real images beside the checkout; not part of the project."""


MIND_THE_REST = ("demo", "launch", "node", "soak")
"""Folders whose tests wait for other processes or look at times, but for those marked `beside_others`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are to run alone."""
    folders = [Path(__file__).parent / name for name in MIND_THE_REST]
    for item in items:
        if any(folder in item.path.parents for folder in folders) and not item.get_closest_marker("beside_others"):
            item.add_marker("alone")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real images and video, or a skip."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def exported_light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file of the light preset with random weights, for images of 4 : 3 at 128 pixels on the shorter side."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs requirements-onnx.txt")
    from ciae_ros.export.onnx_export import export_onnx  # noqa: PLC0415
    from ciae_ros.inference import load_model  # noqa: PLC0415

    path = tmp_path_factory.mktemp("onnx") / "light.onnx"
    torch.manual_seed(1)
    export_onnx(load_model("untrained/light_512"), path, (128, 192), 128)
    return path


@pytest.fixture(scope="session")
def ros_environment() -> Iterator[dict[str, str]]:
    """A ROS domain that no other process uses, on this machine only; for children, and set in this process too."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from ciae_ros.processes import isolated_ros_environment  # noqa: PLC0415

    with isolated_ros_environment() as environment:
        before = dict(os.environ)
        os.environ.update(environment)
        yield environment
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def ros(ros_environment: dict[str, str]) -> Iterator[None]:
    """rclpy in this process."""
    import rclpy  # noqa: PLC0415

    rclpy.init()
    yield
    rclpy.try_shutdown()
