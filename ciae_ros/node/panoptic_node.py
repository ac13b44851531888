"""The managed node: camera images in, panoptic label images and segments out."""

from __future__ import annotations

import functools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor, load_model
from ciae_ros.inference.host_memory import keep_freed_memory
from ciae_ros.node.diagnostics import FrameStatistics, FrameTimes, diagnostic_array
from ciae_ros.node.frame_scheduler import SUPERSEDED, FrameScheduler
from ciae_ros.node.image_conversion import UnusableImageError, convert_image, decode_image
from ciae_ros.node.parameters import NAMES, NodeParameters, ParameterError, declare_parameters, read_parameters
from ciae_ros.node.result_publisher import ResultPublisher
from ciae_ros.node.signals import until_interrupted

DIAGNOSTICS_PERIOD = 1.0
"""Seconds between messages on /diagnostics."""

FAILED = "failed"
"""Reason of a drop: an exception while the frame was segmented."""

Transition = Callable[["PanopticNode", LifecycleState], TransitionCallbackReturn]


@dataclass(frozen=True)
class _Frame:
    message: Image | CompressedImage
    arrival: float
    """time.perf_counter() when it was received."""


def _logged(transition: Transition) -> Transition:
    """rclpy turns an exception in a transition into an error without a word: say what it was."""

    @functools.wraps(transition)
    def call(node: PanopticNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__} failed: {error}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    return call


class PanopticNode(LifecycleNode):
    """Keeps the newest camera image, segments it on a thread of its own, and publishes under the image's header."""

    def __init__(self) -> None:
        """Declare the parameters.

        Raises:
            ParameterError: one of them was set to something that it cannot be.
        """
        super().__init__("panoptic_node")
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._refuse_changes_while_configured)
        self._node_parameters = NodeParameters()
        self._predictor: Predictor | None = None
        self._publisher: ResultPublisher | None = None
        self._statistics = FrameStatistics()
        self._scheduler: FrameScheduler[_Frame] = FrameScheduler([])
        self._worker: threading.Thread | None = None
        self._subscription: Subscription | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = self.create_timer(DIAGNOSTICS_PERIOD, self._publish_diagnostics)

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up and create the output topics."""
        try:
            self._node_parameters = read_parameters(self)
            self._predictor = self._load_predictor(self._node_parameters)
        except (ParameterError, CheckpointError, ValueError, torch.OutOfMemoryError) as error:
            self.get_logger().error(f"cannot be configured: {' '.join(str(error).split())}")
            return TransitionCallbackReturn.FAILURE
        untrained = self._predictor.digest == UNTRAINED
        self._publisher = ResultPublisher(
            self,
            self._node_parameters.output_qos,
            self._predictor.name,
            self._node_parameters.overlay_style,
            note="untrained weights: the segments mean nothing" if untrained else "",
        )
        self._publisher.publish_label_info(Header(stamp=self.get_clock().now().to_msg()), self._predictor.categories)
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and begin to segment."""
        parameters = self._node_parameters
        self._statistics = FrameStatistics()
        self._scheduler = FrameScheduler([parameters.image_topic])
        self._worker = threading.Thread(target=self._segment_frames, name="ciae-segment", daemon=True)
        self._worker.start()
        message_type = CompressedImage if parameters.compressed else Image
        self._subscription = self.create_subscription(
            message_type, parameters.image_topic, self._receive, parameters.input_qos
        )
        self.get_logger().info(f"segmenting {self._subscription.topic_name}")
        return super().on_activate(state)

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop after the frame that is in the network now; a frame that waits is dropped."""
        self._stop()
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model and its memory back."""
        self._release()
        return super().on_cleanup(state)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, from whatever state."""
        self.close()
        return super().on_shutdown(state)

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that failed half-way: back to unconfigured."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop and release everything; may be called in any state, and again."""
        self._stop()
        self._release()

    def _load_predictor(self, parameters: NodeParameters) -> Predictor:
        device = parameters.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        precision = parameters.precision
        if precision == "auto":
            precision = "fp16" if device.startswith("cuda") else "fp32"
        if device == "cpu":
            keep_freed_memory()
        checkpoint = load_model(parameters.model)
        settings = parameters.settings(checkpoint.settings)
        predictor = Predictor(checkpoint, device, precision, settings, parameters.input_size or None)
        predictor.warm_up(parameters.warm_up_height, parameters.warm_up_width)
        self.get_logger().info(f"model {predictor.name} ({predictor.digest}) on {predictor.device}, {precision}")
        if predictor.digest == UNTRAINED:
            self.get_logger().warning("the weights are untrained: the segments mean nothing")
        return predictor

    def _receive(self, message: Image | CompressedImage) -> None:
        self._scheduler.put(self._node_parameters.image_topic, _Frame(message, time.perf_counter()))

    def _segment_frames(self) -> None:
        """The worker: the newest frame, again and again, until the scheduler is closed."""
        while (turn := self._scheduler.take()) is not None:
            try:
                self._segment(turn[1])
            except UnusableImageError as error:
                if self._statistics.count_dropped(error.kind):
                    self.get_logger().warning(f"dropped a frame ({error.kind}; further ones are counted): {error}")
            except Exception as error:  # Whatever one frame does must not end the stream.
                if not rclpy.ok():
                    return
                if self._statistics.count_dropped(FAILED):
                    self.get_logger().error(f"dropped a frame that failed: {error}\n{traceback.format_exc()}")

    def _segment(self, frame: _Frame) -> None:
        assert self._predictor is not None and self._publisher is not None
        taken = time.perf_counter()
        if isinstance(frame.message, CompressedImage):
            image = decode_image(frame.message)
        else:
            image = convert_image(frame.message)
        converted = time.perf_counter()
        result, stages = self._predictor.predict_timed(image.pixels, image.channel_order)
        message_time, publish_time = self._publisher.publish(frame.message.header, image, result)
        self._statistics.count_segmented(
            FrameTimes(
                wait=taken - frame.arrival,
                convert=converted - taken,
                **asdict(stages),
                message=message_time,
                publish=publish_time,
            )
        )

    def _publish_diagnostics(self) -> None:
        """Say on /diagnostics what became of the frames since the node was activated."""
        values: dict[str, object] = {
            "received": self._scheduler.received.total(),
            "segmented": self._statistics.segmented,
            f"dropped, {SUPERSEDED}": self._scheduler.dropped.total(),
        }
        values |= {f"dropped, {reason}": number for reason, number in self._statistics.dropped().items()}
        if self._predictor is not None:
            values |= {"model": self._predictor.name, "model digest": self._predictor.digest}
            values["device"] = self._predictor.device_name
        values |= {f"{stage} [ms]": f"{1e3 * t:.2f}" for stage, t in self._statistics.median_times().items()}
        state = self._state_machine.current_state[1]
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(stamp, f"{self.get_fully_qualified_name()}: frames", state, values))

    def _refuse_changes_while_configured(self, parameters: list[Parameter]) -> SetParametersResult:
        fixed = [parameter.name for parameter in parameters if parameter.name in NAMES]
        if fixed and self._predictor is not None:
            reason = f"{', '.join(fixed)} can be set only while the node is unconfigured: clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _stop(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        self._scheduler.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def _release(self) -> None:
        if self._publisher is not None:
            self._publisher.destroy()
            self._publisher = None
        self._predictor = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted or ROS shuts down.

    Returns:
        0 after an orderly end, 1 if a parameter, the model or the device cannot be used.
    """
    rclpy.init(args=args)
    node: PanopticNode | None = None
    try:
        with until_interrupted():
            node = PanopticNode()
            if read_parameters(node).autostart and not _start(node):
                return 1
            rclpy.spin(node)
    except ParameterError as error:
        print(f"panoptic_node: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _start(node: PanopticNode) -> bool:
    """Configure and activate; True if both succeeded."""
    for trigger in (node.trigger_configure, node.trigger_activate):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
