# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Declaration of a node's parameters, and their validated values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ciae_ros.node.parameters.declaration import accept_whole_numbers, declare, refuse_unknown
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.fields import ParameterSet, changeable_names, field_names

Values = TypeVar("Values", bound=ParameterSet)


def declare_parameters(node: Node, kind: type[Values]) -> None:
    """Declare all parameters.

    Args:
        node: node without them.
        kind: what they are.

    Raises:
        ParameterError: an initial value has the wrong type or is out of range, or its name is unknown.
    """
    names = field_names(kind)
    by_field = {item.name: item for item in fields(kind)}
    for name, key in names.items():
        default, descriptor = by_field[key].default, _descriptor(by_field[key].metadata)
        declare(node, name, list(default) if isinstance(default, tuple) else default, descriptor)
    refuse_unknown(node, names)
    accept_whole_numbers(node)


def read_parameters(node: Node, kind: type[Values], changes: Mapping[str, Any] | None = None) -> Values:
    """Read and validate the current values of the parameters.

    Args:
        node: node that has declared them.
        kind: what they are.
        changes: values by ROS name that override current ones.

    Raises:
        ParameterError: a value is not one of its choices, or is refused by `ParameterSet.check`.
    """
    changes = changes or {}
    names = field_names(kind)
    values = {key: _immutable(changes.get(name, node.get_parameter(name).value)) for name, key in names.items()}
    for item in fields(kind):
        choices = item.metadata["choices"]
        value = values[item.name]
        if choices and value not in choices:
            name = item.metadata["name"] or item.name
            raise ParameterError(f"parameter {name}: {value!r} must be one of {', '.join(choices)}")
    parameters = kind(**values)
    parameters.check()
    return parameters


def _descriptor(metadata: Mapping[str, Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=metadata["text"])
    if metadata["choices"]:
        descriptor.additional_constraints = "one of " + ", ".join(metadata["choices"])
    if metadata["limits"]:
        low, high = metadata["limits"]
        if isinstance(low, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor


def check_changes(
    node: Node,
    kind: type[Values],
    changes: Sequence[Parameter],
    is_configured: bool,
    check: Callable[[Values], object] | None = None,
) -> SetParametersResult:
    """Refuse invalid values, and changes of fixed parameters while the node is configured.

    Args:
        node: node that has declared them.
        kind: what they are.
        changes: the parameters to be set.
        is_configured: whether the node is configured or being configured.
        check: raises ParameterError if the node in its state cannot use the new values.
    """
    names, changeable = field_names(kind), changeable_names(kind)
    ours = {parameter.name: parameter.value for parameter in changes if parameter.name in names}
    fixed = [name for name in ours if name not in changeable]
    if fixed and is_configured:
        reason = f"{', '.join(fixed)} can be set only while the node is unconfigured: clean it up first"
        return SetParametersResult(successful=False, reason=reason)
    try:
        parameters = read_parameters(node, kind, ours)
        if check is not None:
            check(parameters)
    except ParameterError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _immutable(value: Any) -> Any:
    """Convert rclpy's lists and arrays to tuples."""
    return value if isinstance(value, str | bool | int | float) else tuple(value)
