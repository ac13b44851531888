# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Declaration of the node's parameters, and their validated values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ciae_ros.inference import CategorySet
from ciae_ros.node.parameters.declaration import accept_whole_numbers, declare, refuse_unknown
from ciae_ros.node.parameters.definitions import CHANGEABLE, NAMES, NodeParameters
from ciae_ros.node.parameters.errors import ParameterError


def declare_parameters(node: Node) -> None:
    """Declare all parameters.

    Raises:
        ParameterError: an initial value has the wrong type or is out of range, or its name is unknown.
    """
    defaults = NodeParameters()
    for name, key in NAMES.items():
        metadata = next(item.metadata for item in fields(NodeParameters) if item.name == key)
        default = getattr(defaults, key)
        declare(node, name, list(default) if isinstance(default, tuple) else default, _descriptor(metadata))
    refuse_unknown(node, NAMES)
    accept_whole_numbers(node)


def read_parameters(node: Node, changes: Mapping[str, Any] | None = None) -> NodeParameters:
    """Read and validate the current values of the parameters.

    Args:
        node: node that has declared them.
        changes: values by ROS name that override current ones.

    Raises:
        ParameterError: a value is not one of its choices, or a size is invalid or missing.
    """
    changes = changes or {}
    values = {key: _immutable(changes.get(name, node.get_parameter(name).value)) for name, key in NAMES.items()}
    for item in fields(NodeParameters):
        choices = item.metadata["choices"]
        value = values[item.name]
        if choices and value not in choices:
            name = item.metadata["name"] or item.name
            raise ParameterError(f"parameter {name}: {value!r} must be one of {', '.join(choices)}")
    parameters = NodeParameters(**values)
    if not parameters.sizes:
        raise ParameterError("parameter expected_sizes: give at least one WIDTHxHEIGHT")
    _ = parameters.merged_classes
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
    node: Node, changes: Sequence[Parameter], *, is_configured: bool, categories: CategorySet | None
) -> SetParametersResult:
    """Refuse invalid values, and changes of fixed parameters while the node is configured.

    Args:
        node: node that has declared them.
        changes: the parameters to be set.
        is_configured: whether the node is configured or being configured.
        categories: categories of the model, if it is loaded.
    """
    ours = {parameter.name: parameter.value for parameter in changes if parameter.name in NAMES}
    fixed = [name for name in ours if name not in CHANGEABLE]
    if fixed and is_configured:
        reason = f"{', '.join(fixed)} can be set only while the node is unconfigured: clean it up first"
        return SetParametersResult(successful=False, reason=reason)
    try:
        parameters = read_parameters(node, ours)
        if categories is not None:
            parameters.category_selection(categories)
    except ParameterError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _immutable(value: Any) -> Any:
    """Convert rclpy's lists and arrays to tuples."""
    return value if isinstance(value, str | bool | int | float) else tuple(value)
