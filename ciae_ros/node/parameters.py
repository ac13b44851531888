"""The node's parameters: declared with description and range, read as one checked value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.named_models import DEFAULT_MODEL
from ciae_ros.inference.predictor import DTYPES
from ciae_ros.visualization import OverlayStyle

RELIABILITIES = {"best_effort": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


class ParameterError(Exception):
    """A parameter that the node cannot work with; the message says which and what to set, in one line."""


def _parameter(
    default: Any,
    description: str,
    name: str | None = None,
    limits: tuple[Any, Any] | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(default=default, metadata={"name": name, "text": description, "limits": limits, "choices": choices})


@dataclass(frozen=True)
class NodeParameters:
    """Every parameter of `panoptic_node`; `config/panoptic.yaml` lists them for people."""

    image_topic: str = _parameter("image", "Topic of the camera images.")
    compressed: bool = _parameter(False, "The images are sensor_msgs/CompressedImage (JPEG or PNG).")
    autostart: bool = _parameter(True, "Configure and activate at start, without a lifecycle manager.")

    model: str = _parameter(
        DEFAULT_MODEL,
        "Name of a model that comes with the package, path of a checkpoint (.safetensors), or untrained/PRESET.",
    )
    device: str = _parameter("auto", "auto (CUDA if there is a device, else the CPU), cpu, cuda or cuda:N.")
    precision: str = _parameter(
        "auto", "Of weights and activations; auto: fp16 on CUDA, fp32 on the CPU.", choices=("auto", *DTYPES)
    )
    input_size: int = _parameter(
        0,
        "Shorter side in the network in pixels (the paper: 512, 640, 800); 0: as the model was made.",
        limits=(0, 2048),
    )
    warm_up_width: int = _parameter(1280, "Width of the images that are expected, for warming up.", limits=(1, 16384))
    warm_up_height: int = _parameter(720, "Height of the images that are expected.", limits=(1, 16384))

    score_threshold: float = _parameter(
        -1.0, "Instances with a lower score are left out; below 0: as suits the model.", limits=(-1.0, 1.0)
    )
    nms_threshold: float = _parameter(
        -1.0,
        "IoU above which the lower of two instances is left out; below 0: as suits the model.",
        limits=(-1.0, 1.0),
    )
    max_instances: int = _parameter(-1, "Most instances in a frame; below 1: as suits the model.", limits=(-1, 1000))
    min_stuff_area: int = _parameter(
        -1,
        "Stuff segments of fewer pixels become unlabelled; below 0: as suits the model.",
        limits=(-1, 100_000_000),
    )

    overlay_opacity: float = _parameter(
        OverlayStyle.opacity, "Of the colours in ~/overlay.", name="overlay.opacity", limits=(0.0, 1.0)
    )
    overlay_outlines: bool = _parameter(OverlayStyle.outlines, "Draw outlines in ~/overlay.", name="overlay.outlines")
    overlay_names: bool = _parameter(OverlayStyle.names, "Write names in ~/overlay.", name="overlay.names")

    input_reliability: str = _parameter(
        "best_effort",
        "Of the image subscription; best_effort also hears reliable publishers.",
        name="qos.input_reliability",
        choices=tuple(RELIABILITIES),
    )
    output_reliability: str = _parameter(
        "reliable",
        "Of the publishers; reliable also reaches best-effort subscribers.",
        name="qos.output_reliability",
        choices=tuple(RELIABILITIES),
    )
    output_depth: int = _parameter(
        2, "Results kept for a slow reliable subscriber.", name="qos.output_depth", limits=(1, 100)
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
    def input_qos(self) -> QoSProfile:
        """Sensor data, of which only the newest counts."""
        return _qos(self.input_reliability, depth=1)

    @property
    def output_qos(self) -> QoSProfile:
        return _qos(self.output_reliability, self.output_depth)


NAMES = {item.metadata["name"] or item.name: item.name for item in fields(NodeParameters)}
"""ROS names of the parameters, to fields."""


def declare_parameters(node: Node) -> None:
    """Declare all parameters.

    Raises:
        ParameterError: a value that was set at start has the wrong type or is out of range, or its name is unknown.
    """
    for item in fields(NodeParameters):
        name = item.metadata["name"] or item.name
        try:
            node.declare_parameter(name, item.default, _descriptor(item.metadata))
        except ParameterException as error:
            raise ParameterError(f"parameter {name}: {_one_line(error)} ({item.metadata['text']})") from None
    unknown = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    if unknown:
        raise ParameterError(f"unknown parameters: {', '.join(unknown)}; there are {', '.join(NAMES)}")


def read_parameters(node: Node) -> NodeParameters:
    """The parameters' present values.

    Raises:
        ParameterError: a value is none of its choices.
    """
    parameters = NodeParameters(**{key: node.get_parameter(name).value for name, key in NAMES.items()})
    for item in fields(NodeParameters):
        choices = item.metadata["choices"]
        value = getattr(parameters, item.name)
        if choices and value not in choices:
            name = item.metadata["name"] or item.name
            raise ParameterError(f"parameter {name}: {value!r} is none of {', '.join(choices)}")
    return parameters


def _descriptor(metadata: Any) -> ParameterDescriptor:
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


def _qos(reliability: str, depth: int) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=RELIABILITIES[reliability])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
