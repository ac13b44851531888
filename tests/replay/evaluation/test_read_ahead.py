# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Items are yielded in order, a few are prepared in advance, and no thread remains."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ciae_ros.replay.evaluation.read_ahead import read_ahead


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_all_items_in_their_order() -> None:
    assert list(read_ahead(range(100), ahead=3)) == list(range(100))
    assert "ciae-read" not in names_of_threads()


def test_items_are_prepared_in_advance_within_a_limit() -> None:
    made: list[int] = []
    third_made = threading.Event()

    def items() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            if len(made) == 4:
                third_made.set()
            yield item

    reading = read_ahead(items(), ahead=3)
    assert next(reading) == 0
    assert third_made.wait(10)
    # Three wait in the queue, and one more may be ready.
    assert len(made) <= 5
    reading.close()
    assert "ciae-read" not in names_of_threads()


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    reading = read_ahead(items())
    assert next(reading) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reading)
