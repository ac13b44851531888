# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Groups of categories, and the points of each group, for navigation.

A YAML file names the groups and their categories:

    groups:
      traversable: [road, pavement]
      obstacle: [building, fence]
    others: obstacle      # categories that no group has; optional
    unlabelled: obstacle  # points without a category; optional
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ciae_ros.core.compiled import compiled_with_nan
from ciae_ros.core.text_file import read_text
from ciae_ros.spatial.point_layout import COORDINATES, LabelledSegment

NO_GROUP = -1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class CategoryGroupsError(ValueError):
    """An invalid file of groups; the one-line message says what is wrong with it."""


@dataclass(frozen=True)
class CategoryGroups:
    """Groups of categories."""

    names: tuple[str, ...]
    group_of: Mapping[str, int]
    """Index of the group by the name of a category in lower case."""
    others: int = NO_GROUP
    """Group of categories that no group has."""
    unlabelled: int = NO_GROUP
    """Group of points without a category."""

    @classmethod
    def load(cls, path: Path) -> CategoryGroups:
        """Read a YAML file.

        Raises:
            CategoryGroupsError: it cannot be read, or its content is not as above.
        """
        try:
            content = yaml.safe_load(read_text(path))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CategoryGroupsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        try:
            return cls._from_content(content)
        except CategoryGroupsError as error:
            raise CategoryGroupsError(f"{path}: {error}") from None

    @classmethod
    def _from_content(cls, content: Any) -> CategoryGroups:
        groups = content.get("groups") if isinstance(content, dict) else None
        if not isinstance(groups, dict) or not groups:
            raise CategoryGroupsError("groups must be names of groups, each with a list of categories")
        if unknown := set(content) - {"groups", "others", "unlabelled"}:
            raise CategoryGroupsError(f"unknown entry {min(unknown)!r}: use groups, others and unlabelled")
        group_of: dict[str, int] = {}
        for number, (name, categories) in enumerate(groups.items()):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise CategoryGroupsError(f"the group {name!r} must have a name of letters, digits and underscores")
            if not isinstance(categories, list):
                raise CategoryGroupsError(f"the group {name!r} must be a list of categories")
            for category in map(_normalised, categories):
                if group_of.setdefault(category, number) != number:
                    raise CategoryGroupsError(f"the category {category!r} is in two groups")
        names = tuple(groups)
        others, unlabelled = (_index(names, content, key) for key in ("others", "unlabelled"))
        return cls(names, group_of, others, unlabelled)

    def of_segments(self, segments: Iterable[LabelledSegment]) -> np.ndarray:
        """Return the index of the group by segment id, as (S + 1,) int32; `NO_GROUP` for none."""
        segments = list(segments)
        found = np.full(max((one.id for one in segments), default=0) + 1, NO_GROUP, np.int32)
        found[0] = self.unlabelled
        for one in segments:
            found[one.id] = self.group_of.get(_normalised(one.category_name), self.others)
        return found

    def without_group(self, segments: Iterable[LabelledSegment]) -> set[str]:
        """Return the names of categories that are in no group, if there is no group for others."""
        if self.others != NO_GROUP:
            return set()
        return {one.category_name for one in segments if _normalised(one.category_name) not in self.group_of}


def split_points(points: np.ndarray, group_of_segment: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the coordinates of the points of each group.

    Args:
        points: (N, words) float32 in the layout of `point_fields`; NaN is no point.
        group_of_segment: result of `CategoryGroups.of_segments`.
        count: number of groups.

    Returns:
        (M, 3) float32 for each group.
    """
    group = np.empty(len(points), np.int32)
    sizes = np.zeros(count, np.int64)
    words = points.view(np.uint32)
    _find_groups(points, words, group_of_segment, group, sizes)
    ends = np.cumsum(sizes)
    sorted_points = np.empty((int(ends[-1]) if count else 0, COORDINATES), np.float32)
    _sort_points(points, group, ends - sizes, sorted_points)
    return np.split(sorted_points, ends[:-1])


@compiled_with_nan
def _find_groups(
    points: np.ndarray, words: np.ndarray, group_of_segment: np.ndarray, group: np.ndarray, sizes: np.ndarray
) -> None:
    for n in range(len(points)):
        segment = words[n, COORDINATES + 1] & np.uint32(0xFFFF)
        found = group_of_segment[segment]
        if np.isnan(points[n, 2]):
            found = NO_GROUP
        group[n] = found
        if found >= 0:
            sizes[found] += 1


@compiled_with_nan
def _sort_points(points: np.ndarray, group: np.ndarray, start: np.ndarray, sorted_points: np.ndarray) -> None:
    place = start.copy()
    for n in range(len(points)):
        found = group[n]
        if found >= 0:
            sorted_points[place[found], 0] = points[n, 0]
            sorted_points[place[found], 1] = points[n, 1]
            sorted_points[place[found], 2] = points[n, 2]
            place[found] += 1


def _index(names: tuple[str, ...], content: Mapping[str, Any], key: str) -> int:
    name = content.get(key)
    if name is None:
        return NO_GROUP
    if name not in names:
        raise CategoryGroupsError(f"{key} must be one of the groups {', '.join(names)}, not {name!r}")
    return names.index(name)


def _normalised(name: Any) -> str:
    return str(name).strip().lower()
