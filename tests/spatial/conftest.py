# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A rendered drive, for tests of everything in three dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rendering.drive import Drive


@pytest.fixture(scope="session")
def drive() -> Iterator[Drive]:
    """The rendered drive, in images of 640 x 480."""
    rendering = pytest.importorskip("tests.rendering.drive", reason="needs MuJoCo, of requirements-dev.txt")
    yield from rendering.open_drive(480, 640)
