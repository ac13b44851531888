# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node's parameters: defaults, descriptions, ranges and choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from ciae_ros.camera.camera_image import MAX_PIXELS
from ciae_ros.inference import CategorySet, InferenceSettings
from ciae_ros.inference.category_selection import CategorySelection, parse_class_map
from ciae_ros.inference.loading.named_models import BACKENDS, DEFAULT_MODEL
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.predictor import ResultSize
from ciae_ros.inference.settings import THRESHOLDS
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.fields import RELIABILITIES, ParameterSet, parameter
from ciae_ros.tracking.tracker import MAX_GAP
from ciae_ros.visualization import OverlayStyle

SEMANTIC_ENCODINGS = ("16UC1", "mono8")
MAX_LENGTH = 16384
"""Maximum side of an expected image in pixels."""


def _threshold(name: str, maximum: Any) -> Any:
    kind, text = type(maximum), THRESHOLDS[name]
    return parameter(
        kind(-1),
        f"{text[0].upper()}{text[1:]}; below 0: as in the model.",
        limits=(kind(-1), maximum),
        changeable=True,
    )


@dataclass(frozen=True)
class NodeParameters(ParameterSet):
    """All parameters of `panoptic_node`; `config/panoptic.yaml` lists them with comments."""

    cameras: tuple[str, ...] = parameter(
        ("image",), "Topics of the camera images; names that end in /compressed are sensor_msgs/CompressedImage."
    )
    camera_names: tuple[str, ...] = parameter(
        ("",), "Namespaces of the cameras' outputs below ~/, in the order of cameras; ['']: derived from the topics."
    )
    compressed: bool = parameter(
        False, "All topics are sensor_msgs/CompressedImage (JPEG or PNG), regardless of their names."
    )
    expected_sizes: tuple[str, ...] = parameter(("1280x720",), "Expected image sizes, WIDTHxHEIGHT, for the warm-up.")
    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.")

    max_rate: float = parameter(
        0.0,
        "Maximum number of images per camera and second of the node's clock; 0: unlimited.",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    max_age: float = parameter(
        0.0,
        "Maximum age of an image in seconds when it is processed; older ones are dropped as stale. 0: unlimited.",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    max_future: float = parameter(
        60.0,
        "Maximum seconds by which a stamp may be ahead of the node's clock; images beyond are dropped. 0: unlimited.",
        limits=(0.0, 1e9),
        changeable=True,
    )
    max_pixels: int = parameter(
        MAX_PIXELS, "Maximum number of pixels; larger images are dropped.", limits=(1, 1_000_000_000)
    )
    latency_budget: float = parameter(
        0.0,
        "Maximum seconds from the arrival of an image to its published labels; more is reported. 0: unlimited.",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    max_batch: int = parameter(
        0,
        "Maximum number of images of different cameras in a batch; "
        "0: the number of cameras if that is faster, as measured when the node is configured.",
        limits=(0, 64),
    )

    model: str = parameter(
        DEFAULT_MODEL,
        "Name of a shipped model, path of a checkpoint (.safetensors) or of an exported model (.onnx), "
        "hf://OWNER/NAME[@REVISION] on the Hugging Face hub or a folder in its layout (see docs/models.md), "
        "or untrained/PRESET.",
    )
    backend: str = parameter(
        "auto",
        "What runs the network; auto: ONNX Runtime for .onnx files, on a CPU the fastest of PyTorch, OpenVINO and ONNX "
        "Runtime, as measured when the node is configured, else PyTorch; tensorrt: provider of ONNX Runtime.",
        choices=BACKENDS,
    )
    device: str = parameter(
        "auto", "auto (CUDA if available and its results are right, else the CPU), cpu, cuda or cuda:N."
    )
    precision: str = parameter(
        "auto",
        "Precision of weights and activations; auto: that of the .onnx file, else fp16 on CUDA; on a CPU bf16 if it is "
        "faster and changes the results hardly, else fp32.",
        choices=("auto", *DTYPES),
    )
    compile: bool = parameter(
        False, "Compile the network with torch.compile when the node is configured, which takes minutes."
    )
    input_size: int = parameter(
        0,
        "Shorter side of the network's input in pixels (the paper: 512, 640, 800); 0: as in the model.",
        limits=(0, 2048),
    )

    labels_resolution: ResultSize = parameter(
        "input",
        "Size of all results: input (that of the camera) or network (smaller, faster to send).",
        choices=get_args(ResultSize),
    )
    score_threshold: float = _threshold("score_threshold", 1.0)
    nms_threshold: float = _threshold("nms_threshold", 1.0)
    duplicate_similarity: float = _threshold("duplicate_similarity", 1.0)
    duplicate_iou: float = _threshold("duplicate_iou", 1.0)
    mask_threshold: float = _threshold("mask_threshold", 1.0)
    overlap_threshold: float = _threshold("overlap_threshold", 1.0)
    max_instances: int = parameter(
        -1, "Maximum number of instances in a frame; below 1: as in the model.", limits=(-1, 1000), changeable=True
    )
    min_stuff_area: int = _threshold("min_stuff_area", 100_000_000)

    classes: tuple[str, ...] = parameter(
        ("",),
        "Names of the categories to publish, after class_map; pixels of others are unlabelled. ['']: all.",
        changeable=True,
    )
    class_map: tuple[str, ...] = parameter(
        ("",),
        "Categories to merge under new names, such as 'vehicle = car, truck, bus'; the id of the first one remains. "
        "['']: none.",
        changeable=True,
    )

    semantic_encoding: str = parameter(
        SEMANTIC_ENCODINGS[0],
        "Encoding of ~/semantic; mono8 is what the semantic layers of Nav2 read, for category ids up to 255.",
        name="semantic.encoding",
        choices=SEMANTIC_ENCODINGS,
    )

    tracking: bool = parameter(
        True, "Give things ids that stay with them from frame to frame.", name="tracking.enabled", changeable=True
    )
    tracking_max_gap: float = parameter(
        MAX_GAP,
        "Seconds for which the id of a thing is kept while it is not seen.",
        name="tracking.max_gap",
        limits=(0.0, 60.0),
        changeable=True,
    )

    overlay_opacity: float = parameter(
        OverlayStyle.opacity,
        "Opacity of the colours in the overlay.",
        name="overlay.opacity",
        limits=(0.0, 1.0),
        changeable=True,
    )
    overlay_outlines: bool = parameter(
        OverlayStyle.outlines, "Draw outlines in the overlay.", name="overlay.outlines", changeable=True
    )
    overlay_names: bool = parameter(
        OverlayStyle.names, "Write names in the overlay.", name="overlay.names", changeable=True
    )
    save_folder: str = parameter("~/.ros/ciae_ros", "Folder in which ~/save_frame creates a new folder for each call.")

    input_reliability: str = parameter(
        "best_effort",
        "Reliability of the image subscriptions; best_effort also receives from reliable publishers.",
        name="qos.input_reliability",
        choices=RELIABILITIES,
    )
    input_depth: int = parameter(
        5,
        "Images that the middleware queues while the node is busy; those that are read are counted.",
        name="qos.input_depth",
        limits=(1, 100),
    )
    input_deadline: float = parameter(
        0.0,
        "Deadline of the image subscriptions in seconds; cameras that offer a longer one are incompatible. 0: none.",
        name="qos.input_deadline",
        limits=(0.0, 3600.0),
    )
    input_liveliness_lease: float = parameter(
        0.0,
        "Liveliness lease of the image subscriptions in seconds; longer offers are incompatible. 0: none.",
        name="qos.input_liveliness_lease",
        limits=(0.0, 3600.0),
    )
    output_reliability: str = parameter(
        "reliable",
        "Reliability of the publishers; reliable also reaches best-effort subscribers.",
        name="qos.output_reliability",
        choices=RELIABILITIES,
    )
    output_depth: int = parameter(
        2, "Results kept for a slow reliable subscriber.", name="qos.output_depth", limits=(1, 100)
    )

    stop_timeout: float = parameter(
        5.0,
        "Seconds that deactivation, cleanup and shutdown wait for the device before the process ends with "
        "exit code 75.",
        name="timeouts.stop",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    batch_timeout: float = parameter(
        30.0,
        "Maximum seconds of a batch on the device before the process ends with exit code 75; 0: unlimited. Must be "
        "longer than the slowest batch, which with compile is the first of an unexpected size.",
        name="timeouts.batch",
        limits=(0.0, 3600.0),
        changeable=True,
    )
    configure_timeout: float = parameter(
        600.0,
        "Maximum seconds of the configuration (loading, warm-up, compilation) before the process ends with "
        "exit code 75; 0: unlimited.",
        name="timeouts.configure",
        limits=(0.0, 86400.0),
        changeable=True,
    )

    stale_after: float = parameter(
        5.0,
        "Seconds without an image after which a camera is STALE.",
        name="diagnostics.stale_after",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    min_rate: float = parameter(
        0.0,
        "Results per second below which a camera is WARN; 0: never.",
        name="diagnostics.min_rate",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    warn_bad_share: float = parameter(
        0.0,
        "Share of a camera's recent images that could not be used above which it is WARN.",
        name="diagnostics.warn_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    error_bad_share: float = parameter(
        0.5,
        "Share that could not be used, or exceeded the latency budget, above which a camera is ERROR.",
        name="diagnostics.error_bad_share",
        limits=(0.0, 1.0),
        changeable=True,
    )
    stuck_after: float = parameter(
        10.0,
        "Seconds of a frame in the network after which the node is ERROR.",
        name="diagnostics.stuck_after",
        limits=(0.1, 3600.0),
        changeable=True,
    )
    status_period: float = parameter(
        10.0,
        "Seconds between status lines (JSON) in the log; 0: none.",
        name="diagnostics.status_period",
        limits=(0.0, 3600.0),
        changeable=True,
    )

    def check(self) -> None:
        """Refuse sizes and merged categories that cannot be parsed.

        Raises:
            ParameterError: there are some, or there is no size.
        """
        if not self.sizes:
            raise ParameterError("parameter expected_sizes: give at least one WIDTHxHEIGHT")
        _ = self.merged_classes

    def settings(self, model_settings: InferenceSettings) -> InferenceSettings:
        """Return the model's settings, overridden by the parameters that are set."""
        thresholds = {name: value for name in THRESHOLDS if (value := getattr(self, name)) >= 0}
        return model_settings.override(
            **thresholds, max_instances=self.max_instances if self.max_instances > 0 else None
        )

    def category_selection(self, categories: CategorySet) -> CategorySelection:
        """Return the selection of a model's categories.

        Raises:
            ParameterError: a name is unknown or used twice, things would be merged with stuff, or the semantic image
                cannot hold an id.
        """
        try:
            found = CategorySelection(categories, self.merged_classes, [name for name in self.classes if name])
        except ValueError as error:
            raise ParameterError(f"parameter {error}") from None
        last = max(found.categories, key=lambda one: one.id)
        if self.semantic_encoding == "mono8" and last.id > 255:
            raise ParameterError(
                f"parameter semantic.encoding: mono8 cannot hold the id {last.id} of {last.name!r}: use 16UC1, or "
                "leave it out by classes"
            )
        return found

    @property
    def merged_classes(self) -> dict[str, list[str]]:
        """Names of categories to merge, by their new name.

        Raises:
            ParameterError: an entry has another form.
        """
        try:
            return parse_class_map(self.class_map)
        except ValueError as error:
            raise ParameterError(f"parameter class_map: {error}") from None

    @property
    def overlay_style(self) -> OverlayStyle:
        return OverlayStyle(self.overlay_opacity, self.overlay_outlines, self.overlay_names)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of the expected images.

        Raises:
            ParameterError: a size is invalid.
        """
        return [_height_and_width(size) for size in self.expected_sizes]


def _height_and_width(size: str) -> tuple[int, int]:
    width, cross, height = size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()) or not (
        1 <= int(width) <= MAX_LENGTH and 1 <= int(height) <= MAX_LENGTH
    ):
        raise ParameterError(f"parameter expected_sizes: {size!r} is not a WIDTHxHEIGHT of 1 to {MAX_LENGTH} pixels")
    return int(height), int(width)
