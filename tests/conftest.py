# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fixtures of many tests: real images, random seeds, and a separate ROS domain."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

pytest_plugins = ["tests.process_cleanup"]

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Folder of real images next to the checkout, which is not part of the project."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker start with its share of the slow tests, so that none remains for the end."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    if workers:
        slow = [item for item in items if item.get_closest_marker("slow")]
        others = [item for item in items if not item.get_closest_marker("slow")]
        share = -(-len(others) // workers)
        items[:] = [
            item
            for worker in range(workers)
            for item in slow[worker::workers] + others[worker * share : (worker + 1) * share]
        ]


def pytest_configure(config: pytest.Config) -> None:
    """Isolate the ROS processes of this test process from others, and disable the telemetry of libraries."""
    gc.disable()  # Until all tests are collected: a third of the imports' time would be spent on searching for garbage.
    # As in ciae_ros.inference.loading.optional_runtimes, for tests that import the libraries themselves.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if importlib.util.find_spec("domain_coordinator"):
        from ciae_ros.core.processes import isolated_ros_environment  # noqa: PLC0415

        own_domain = isolated_ros_environment()
        os.environ.update(own_domain.__enter__())
        config.add_cleanup(lambda: own_domain.__exit__(None, None, None))


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but never what the imports have created, which stays."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder with real images and video, or skip the test."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def exported_light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file of the light preset with random weights, for images of 4 : 3 at 128 pixels on the shorter side."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs requirements-onnx.txt")
    from ciae_ros.inference import load_model  # noqa: PLC0415
    from ciae_ros.inference.conversion.onnx_export import export_onnx  # noqa: PLC0415

    # One file for all workers.
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "light.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            torch.manual_seed(1)
            export_onnx(load_model("untrained/light_512"), path, (128, 192), 128)
    return path


@pytest.fixture(scope="session")
def ros_environment() -> dict[str, str]:
    """An environment with a ROS domain that no other test process uses, limited to this machine."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    return dict(os.environ)


@pytest.fixture(scope="module")
def ros(ros_environment: dict[str, str]) -> Iterator[None]:
    """rclpy in this process."""
    import rclpy  # noqa: PLC0415

    rclpy.init()
    yield
    rclpy.try_shutdown()
