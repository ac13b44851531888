# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node's parameters: declared with description and range, read as one checked value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from ciae_ros.camera.camera_image import MAX_PIXELS
from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.loading.named_models import BACKENDS, DEFAULT_MODEL
from ciae_ros.inference.predictor import DTYPES, ResultSize
from ciae_ros.visualization import OverlayStyle

RELIABILITIES = ("best_effort", "reliable")
MAX_LENGTH = 16384
"""Of a side of an image that may be expected, in pixels."""


class ParameterError(Exception):
    """A parameter that the node cannot work with; the message says which and what to set, in one line."""


def _parameter(
    default: Any,
    description: str,
    name: str | None = None,
    limits: tuple[Any, Any] | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Any:
    metadata = {
        "name": name,
        "text": description,
        "limits": limits,
        "choices": choices,
        "changeable": changeable,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeParameters:
    """Every parameter of `panoptic_node`; `config/panoptic.yaml` lists them for people."""

    cameras: tuple[str, ...] = _parameter(
        ("image",), "Topics of the camera images; a name that ends in /compressed is a sensor_msgs/CompressedImage."
    )
    camera_names: tuple[str, ...] = _parameter(
        ("",), "Namespaces of the cameras' outputs below ~/, in the order of cameras; [''] makes them from the topics."
    )
    compressed: bool = _parameter(
        False, "All topics are sensor_msgs/CompressedImage (JPEG or PNG), whatever their names."
    )
    expected_sizes: tuple[str, ...] = _parameter(
        ("1280x720",), "Sizes of the images that are expected, WIDTHxHEIGHT, for warming up."
    )
    autostart: bool = _parameter(True, "Configure and activate at start, without a lifecycle manager.")

    max_rate: float = _parameter(
        0.0,
        "Images that are taken of each camera in a second of the node's clock; 0: all.",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    max_age: float = _parameter(
        0.0,
        "Images whose stamps are more seconds old when their turn comes are dropped as stale; 0: none.",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    max_future: float = _parameter(
        60.0,
        "Images whose stamps are more seconds ahead of the node's clock are dropped as stamped in the future; 0: none.",
        limits=(0.0, 1e9),
        changeable=True,
    )
    max_pixels: int = _parameter(MAX_PIXELS, "Images with more pixels are dropped.", limits=(1, 1_000_000_000))
    latency_budget: float = _parameter(
        0.0,
        "Seconds from an image's arrival to its published labels; more is reported. 0: nothing is.",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    max_batch: int = _parameter(
        0,
        "Most images of different cameras that go through the network at once; "
        "0: as many as cameras if that is faster, which is measured when the node is configured.",
        limits=(0, 64),
    )

    model: str = _parameter(
        DEFAULT_MODEL,
        "Name of a model that comes with the package, path of a checkpoint (.safetensors) or of an exported model "
        "(.onnx), or untrained/PRESET.",
    )
    backend: str = _parameter(
        "auto",
        "What runs the network; auto: ONNX Runtime for .onnx files, else PyTorch; tensorrt: ONNX Runtime's provider.",
        choices=BACKENDS,
    )
    device: str = _parameter("auto", "auto (CUDA if there is a device, else the CPU), cpu, cuda or cuda:N.")
    precision: str = _parameter(
        "auto",
        "Of weights and activations; auto: the .onnx file's own, else fp16 on CUDA and fp32 on the CPU.",
        choices=("auto", *DTYPES),
    )
    compile: bool = _parameter(
        False, "Have torch.compile make the network's kernels while the node is configured, which takes minutes."
    )
    input_size: int = _parameter(
        0,
        "Shorter side in the network in pixels (the paper: 512, 640, 800); 0: as the model was made.",
        limits=(0, 2048),
    )

    labels_resolution: ResultSize = _parameter(
        "input",
        "Size of labels and all that belongs to them: input (the camera's) or network (smaller, quicker to send).",
        choices=get_args(ResultSize),
    )
    score_threshold: float = _parameter(
        -1.0,
        "Instances with a lower score are left out; below 0: as suits the model.",
        limits=(-1.0, 1.0),
        changeable=True,
    )
    nms_threshold: float = _parameter(
        -1.0,
        "IoU above which the lower of two instances is left out; below 0: as suits the model.",
        limits=(-1.0, 1.0),
        changeable=True,
    )
    max_instances: int = _parameter(
        -1, "Most instances in a frame; below 1: as suits the model.", limits=(-1, 1000), changeable=True
    )
    min_stuff_area: int = _parameter(
        -1,
        "Stuff segments of fewer pixels of the camera's image become unlabelled; below 0: as suits the model.",
        limits=(-1, 100_000_000),
        changeable=True,
    )

    overlay_opacity: float = _parameter(
        OverlayStyle.opacity,
        "Of the colours in the overlay.",
        name="overlay.opacity",
        limits=(0.0, 1.0),
        changeable=True,
    )
    overlay_outlines: bool = _parameter(
        OverlayStyle.outlines, "Draw outlines in the overlay.", name="overlay.outlines", changeable=True
    )
    overlay_names: bool = _parameter(
        OverlayStyle.names, "Write names in the overlay.", name="overlay.names", changeable=True
    )
    save_folder: str = _parameter("~/.ros/ciae_ros", "Folder in which ~/save_frame makes a new one each time.")

    input_reliability: str = _parameter(
        "best_effort",
        "Of the image subscriptions; best_effort also hears reliable publishers.",
        name="qos.input_reliability",
        choices=RELIABILITIES,
    )
    input_depth: int = _parameter(
        5,
        "Images that the middleware keeps while the node is busy; those that are read are counted.",
        name="qos.input_depth",
        limits=(1, 100),
    )
    input_deadline: float = _parameter(
        0.0,
        "Seconds within which a camera promises its next image; one that promises less is not heard. 0: no promise.",
        name="qos.input_deadline",
        limits=(0.0, 3600.0),
    )
    input_liveliness_lease: float = _parameter(
        0.0,
        "Seconds within which a camera promises to be alive; one that promises less is not heard. 0: no promise.",
        name="qos.input_liveliness_lease",
        limits=(0.0, 3600.0),
    )
    output_reliability: str = _parameter(
        "reliable",
        "Of the publishers; reliable also reaches best-effort subscribers.",
        name="qos.output_reliability",
        choices=RELIABILITIES,
    )
    output_depth: int = _parameter(
        2, "Results kept for a slow reliable subscriber.", name="qos.output_depth", limits=(1, 100)
    )

    stop_timeout: float = _parameter(
        5.0,
        "Seconds that deactivation, cleanup and the end of the process wait for the device; then the process ends with "
        "exit code 75.",
        name="timeouts.stop",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    batch_timeout: float = _parameter(
        30.0,
        "Seconds after which a batch that is still on the device ends the process with exit code 75; 0: never. Must be "
        "longer than the slowest batch, which with compile is the first one of an unexpected size.",
        name="timeouts.batch",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    configure_timeout: float = _parameter(
        600.0,
        "Seconds after which a configuration (loading, warm-up, compile) that has not finished ends the process with "
        "exit code 75; 0: never.",
        name="timeouts.configure",
        limits=(0.0, 86400.0),
        changeable=True,
    )

    stale_after: float = _parameter(
        5.0,
        "A camera without an image for so many seconds is STALE.",
        name="diagnostics.stale_after",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    min_rate: float = _parameter(
        0.0,
        "WARN if a camera has fewer results in a second; 0: never.",
        name="diagnostics.min_rate",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    warn_bad_share: float = _parameter(
        0.0,
        "WARN if a larger share of a camera's images of the last seconds could not be used.",
        name="diagnostics.warn_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    error_bad_share: float = _parameter(
        0.5,
        "ERROR if a larger share could not be used, or took longer than the latency budget.",
        name="diagnostics.error_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    stuck_after: float = _parameter(
        10.0,
        "ERROR if a frame has been in the network for so many seconds.",
        name="diagnostics.stuck_after",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    status_period: float = _parameter(
        10.0,
        "Seconds between lines in the log that say how the node is doing, as JSON; 0: none.",
        name="diagnostics.status_period",
        limits=(0.0, 3600.0),
        changeable=True,
    )

    def settings(self, of_model: InferenceSettings) -> InferenceSettings:
        """The model's settings with those in their places that are chosen."""
        chosen: dict[str, Any] = {
            name: getattr(self, name) for name in ("score_threshold", "nms_threshold", "min_stuff_area")
        }
        chosen = {name: value for name, value in chosen.items() if value >= 0}
        if self.max_instances > 0:
            chosen["max_instances"] = self.max_instances
        return replace(of_model, **chosen)

    @property
    def overlay_style(self) -> OverlayStyle:
        return OverlayStyle(self.overlay_opacity, self.overlay_outlines, self.overlay_names)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of the images that are expected.

        Raises:
            ParameterError: a size is none.
        """
        return [_height_and_width(size) for size in self.expected_sizes]


NAMES = {item.metadata["name"] or item.name: item.name for item in fields(NodeParameters)}
"""ROS names of the parameters, to fields."""

CHANGEABLE = {item.metadata["name"] or item.name for item in fields(NodeParameters) if item.metadata["changeable"]}
"""ROS names of the parameters that may change while the node is configured."""


def declare_parameters(node: Node) -> None:
    """Declare all parameters.

    Raises:
        ParameterError: a value that was set at start has the wrong type or is out of range, or its name is unknown.
    """
    defaults = NodeParameters()
    for name, key in NAMES.items():
        metadata = next(item.metadata for item in fields(NodeParameters) if item.name == key)
        try:
            default = getattr(defaults, key)
            value = list(default) if isinstance(default, tuple) else default
            node.declare_parameter(name, value, _descriptor(metadata))
        except ParameterException as error:
            raise ParameterError(f"parameter {name}: {_one_line(error)} ({metadata['text']})") from None
    unknown = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    if unknown:
        raise ParameterError(f"unknown parameters: {', '.join(unknown)}; there are {', '.join(NAMES)}")


def read_parameters(node: Node, changes: Mapping[str, Any] | None = None) -> NodeParameters:
    """The parameters' present values.

    Args:
        node: that has declared them.
        changes: values by ROS name that are to take the place of present ones.

    Raises:
        ParameterError: a value is none of its choices, or a size is none, or there is none.
    """
    changes = changes or {}
    values = {key: _immutable(changes.get(name, node.get_parameter(name).value)) for name, key in NAMES.items()}
    for item in fields(NodeParameters):
        choices = item.metadata["choices"]
        value = values[item.name]
        if choices and value not in choices:
            name = item.metadata["name"] or item.name
            raise ParameterError(f"parameter {name}: {value!r} is none of {', '.join(choices)}")
    parameters = NodeParameters(**values)
    if not parameters.sizes:
        raise ParameterError("parameter expected_sizes: give at least one WIDTHxHEIGHT")
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


def _height_and_width(size: str) -> tuple[int, int]:
    width, cross, height = size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()) or not (
        1 <= int(width) <= MAX_LENGTH and 1 <= int(height) <= MAX_LENGTH
    ):
        raise ParameterError(f"parameter expected_sizes: {size!r} is no WIDTHxHEIGHT of 1 to {MAX_LENGTH} pixels")
    return int(height), int(width)


def _immutable(value: Any) -> Any:
    """A value as rclpy has it, which knows lists and arrays."""
    return value if isinstance(value, str | bool | int | float) else tuple(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
