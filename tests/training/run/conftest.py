# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A finished run of a tiny network, with its data and configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.training.run.tiny_run import one_thread, tiny_configuration, train_with, write_data_set


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the JSON file."""
    return write_data_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def config(data_set: Path) -> Path:
    path = data_set.parents[1] / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_configuration(data_set)))
    return path


@pytest.fixture(scope="session")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an uninterrupted run."""
    output = tmp_path_factory.mktemp("run") / "finished"
    with one_thread():
        assert train_with(config, output) == 0
    return output
