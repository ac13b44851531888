# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The declaration of a node's parameters as the fields of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

RELIABILITIES = ("best_effort", "reliable")
"""Values of parameters for the reliability of a topic."""


@dataclass(frozen=True)
class ParameterSet:
    """The parameters of a node: a base of frozen dataclasses, whose fields are made by `parameter`."""

    def check(self) -> None:
        """Refuse values that are invalid although type, range and choice of each are valid.

        Raises:
            ParameterError: there is one.
        """


def parameter(
    default: Any,
    description: str,
    name: str | None = None,
    limits: tuple[Any, Any] | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Any:
    """Return the field of a parameter.

    Args:
        default: value if none is given, which also determines the type.
        description: one or more sentences.
        name: name of the ROS parameter, if it is not that of the field.
        limits: smallest and largest value.
        choices: the only values.
        changeable: whether it may change while the node is configured.
    """
    metadata = {
        "name": name,
        "text": description,
        "limits": limits,
        "choices": choices,
        "changeable": changeable,
    }
    return field(default=default, metadata=metadata)


def field_names(kind: type[ParameterSet]) -> dict[str, str]:
    """Return the names of the fields by ROS parameter name."""
    return {item.metadata["name"] or item.name: item.name for item in fields(kind)}


def changeable_names(kind: type[ParameterSet]) -> set[str]:
    """Return the ROS names of the parameters that may change while the node is configured."""
    return {item.metadata["name"] or item.name for item in fields(kind) if item.metadata["changeable"]}
