# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Declaration of parameters whose initial values users write by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ciae_ros.node.parameters.errors import ParameterError


def declare(node: Node, name: str, default: Any, descriptor: ParameterDescriptor) -> Any:
    """Declare a parameter and return its value. A whole number is a value of a floating-point parameter, too.

    Args:
        node: the node.
        name: name of the parameter.
        default: value if none is given, which also determines the type.
        descriptor: description and constraints.

    Raises:
        ParameterError: the initial value is empty, has another type, or violates the constraints.
    """
    given = node._parameter_overrides.get(name)
    if given is not None:
        if isinstance(default, float):
            node._parameter_overrides[name] = _as_float(given)
        if given.type_ == Parameter.Type.NOT_SET:
            # The type of an empty list is unknown to ROS, so that defaults write it as [''].
            if default != [""]:
                raise ParameterError(f"parameter {name}: it has no value ({descriptor.description})")
            del node._parameter_overrides[name]
    try:
        return node.declare_parameter(name, default, descriptor).value
    except ParameterException as error:
        raise ParameterError(f"parameter {name}: {' '.join(str(error).split())} ({descriptor.description})") from None


def refuse_unknown(node: Node, names: Iterable[str]) -> None:
    """Refuse initial values of parameters that have not been declared; `names` are those to mention.

    Raises:
        ParameterError: there is one.
    """
    unknown = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    if unknown:
        raise ParameterError(f"unknown parameters: {', '.join(unknown)}; the parameters are {', '.join(names)}")


def accept_whole_numbers(node: Node) -> None:
    """Also accept whole numbers for floating-point parameters that are set while the node runs."""

    def converted(changes: list[Parameter]) -> list[Parameter]:
        is_float = {one.name for one in changes if _has_type(node, one.name, Parameter.Type.DOUBLE)}
        return [_as_float(one) if one.name in is_float else one for one in changes]

    node.add_pre_set_parameters_callback(converted)


def _has_type(node: Node, name: str, kind: Parameter.Type) -> bool:
    # Not by get_parameter_type(), which returns the number of the type in Jazzy, and the type in Kilted.
    return bool(node.has_parameter(name) and node.get_parameter(name).type_ == kind)


def _as_float(parameter: Parameter) -> Parameter:
    if parameter.type_ != Parameter.Type.INTEGER:
        return parameter
    return Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))
