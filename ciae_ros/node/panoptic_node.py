# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The managed node: camera images in, panoptic label images and segments out."""

from __future__ import annotations

import time
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor
from ciae_ros.inference.category_selection import CategorySelection
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.cameras import parse_cameras
from ciae_ros.node.diagnostics_publisher import DIAGNOSTICS_PERIOD, DiagnosticsPublisher, NodeStatus
from ciae_ros.node.errors import (
    ROS_CONFIGURATION_ERRORS,
    DeviceHungError,
    DeviceLostError,
    describe_error,
    is_out_of_memory,
    log_transition_errors,
)
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR, DEVICE_FAILURE, INTERNAL_ERROR
from ciae_ros.node.frame_report import SaveError, save_last_frames
from ciae_ros.node.model_loading import LoadPredictor, load_predictor, release_unused_memory, warm_up
from ciae_ros.node.parameters.definitions import NAMES, NodeParameters
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.values import check_changes, declare_parameters, read_parameters
from ciae_ros.node.process_end import ProcessEnd
from ciae_ros.node.segmenter import Segmenter
from ciae_ros.node.worker import Worker, finishes_within, flush_responses

ACKNOWLEDGEMENT_TIMEOUT = 1.0
"""Seconds to wait until subscribers of the diagnostics have acknowledged why the process ends."""


class PanopticNode(LifecycleNodeMixin, Node):
    """A managed node that segments the newest images of its cameras and publishes the results with their headers."""

    def __init__(self, load: LoadPredictor = load_predictor, **options: Any) -> None:
        """Declare the parameters.

        Args:
            load: creates the predictor when the node is configured; tests inject faults here.
            options: options of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: a parameter is invalid.
        """
        Node.__init__(self, "panoptic_node", **options)
        # Reentrant: the state can be requested during a transition. Transitions themselves run one at a time.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        declare_parameters(self)
        self.end = ProcessEnd()
        self._load = load
        self._node_parameters = NodeParameters()
        self._predictor: Predictor | None = None
        self._pipeline: StreamPipeline | None = None
        self._max_batch = 1
        self._streams: dict[str, CameraStream] = {}
        self._segmenter: Segmenter | None = None
        self._selection: CategorySelection
        self._configuring_since: float | None = None
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._take_changes)
        self._diagnostics = DiagnosticsPublisher(self)
        # Independent of simulated time, so that diagnostics are always published.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(DIAGNOSTICS_PERIOD, self._supervise, clock=steady)
        self._transitions = Worker(self, "ciae-transitions")
        self._service_change_state.callback = self._transitions.serve(self._service_change_state.callback)
        self._saving = Worker(self, "ciae-saving")
        save_frame, group = self._saving.serve(self._save_frame), ReentrantCallbackGroup()
        self.create_service(Trigger, "~/save_frame", save_frame, callback_group=group)
        self.create_service(Trigger, "~/reset_statistics", self._reset_statistics)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(backwards, post_callback=self._clock_has_jumped)

    def start(self) -> None:
        """Configure and activate asynchronously; if that fails, the end of the process is requested."""
        self._configuring_since = time.monotonic()
        self._transitions.submit(self._configure_and_activate)

    def _configure_and_activate(self) -> None:
        try:
            results = (trigger() for trigger in (self.trigger_configure, self.trigger_activate))
            failed = next((result for result in results if result != TransitionCallbackReturn.SUCCESS), None)
        except Exception as error:
            self._on_fatal_error(RuntimeError(describe_error(error)))
            return
        if failed == TransitionCallbackReturn.FAILURE:
            self.end.request(CONFIGURATION_ERROR)
        elif failed is not None and rclpy.ok(context=self.context):
            self.fail(INTERNAL_ERROR, "internal error while starting")

    @log_transition_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model, and create the output topics."""
        self._configuring_since = time.monotonic()
        try:
            return self._configure(state)
        except Exception as error:
            refusals = ParameterError, CheckpointError, ValueError, *ROS_CONFIGURATION_ERRORS
            if not isinstance(error, refusals) and not is_out_of_memory(error):
                raise
            self._log_refusal("cannot be configured", error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        finally:
            self._configuring_since = None

    def _configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        parameters = self._node_parameters = read_parameters(self)
        cameras = parse_cameras(parameters)
        predictor = self._predictor = self._load(parameters)
        parameters.category_selection(predictor.categories)
        pipeline = self._pipeline = StreamPipeline(predictor)
        self._max_batch = warm_up(pipeline, parameters, len(cameras), self.get_logger().info)
        self.get_logger().info(
            f"model {predictor.name} ({predictor.digest}) on {predictor.device_name}, {predictor.precision}; "
            f"at most {self._max_batch} images at once"
        )
        if predictor.digest == UNTRAINED:
            self.get_logger().warning("the weights are untrained: the segments are meaningless")
        self._streams = {camera.name: CameraStream(self, camera, parameters) for camera in cameras}
        self._select_categories()
        return super().on_configure(state)

    @log_transition_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start segmenting."""
        assert self._predictor is not None and self._pipeline is not None
        segmenter = self._segmenter = Segmenter(
            self._predictor,
            self._pipeline,
            self._streams,
            parameters=lambda: self._node_parameters,
            selection=lambda: self._selection,
            clock=self.get_clock(),
            logger=self.get_logger(),
            on_fatal=self._on_fatal_error,
            max_batch=self._max_batch,
            note="untrained weights: the segments are meaningless" if self._predictor.digest == UNTRAINED else "",
        )
        try:
            for stream in self._streams.values():
                stream.statistics.reset()
                stream.subscribe(segmenter.scheduler.put, lambda: self._node_parameters.max_rate)
        except ROS_CONFIGURATION_ERRORS as error:
            self._log_refusal("cannot be activated", error)
            self._stop()
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.restart_status_lines()
        self.get_logger().info(f"segmenting {', '.join(stream.topic for stream in self._streams.values())}")
        return super().on_activate(state)

    @log_transition_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop after the frames that are in the network; waiting frames are dropped."""
        self._stop()
        return super().on_deactivate(state)

    @log_transition_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model and its memory."""
        self._release()
        return super().on_cleanup(state)

    @log_transition_errors
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, from any state."""
        self.close()
        return super().on_shutdown(state)

    @log_transition_errors
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after a failed transition."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop and release everything; may be called in any state and repeatedly.

        After a failure this does nothing: the process ends, and a hanging device would hang again.

        Raises:
            DeviceHungError: the device does not respond within `timeouts.stop`.
        """
        if not self.end.fault:
            self._stop()
            self._release()

    def close_after_transition(self) -> None:
        """Close after the current transition.

        Raises:
            DeviceHungError: the device does not respond within `timeouts.stop`.
        """
        # Twice: for the current batch, and for the device's memory.
        timeout = 2 * self._node_parameters.stop_timeout
        if not finishes_within(timeout, self._transitions.submit(self.close).result):
            raise DeviceHungError(f"a transition has not finished for {timeout:.0f} s")

    @property
    def _is_configured(self) -> bool:
        """Whether the node is configured or being configured, so that most parameters are fixed."""
        return self._predictor is not None or self.is_configuring

    @property
    def is_configuring(self) -> bool:
        return self._configuring_since is not None

    @property
    def is_saving(self) -> bool:
        """Whether a frame is still being written after a second."""
        return not self._saving.is_idle_within(1.0)

    def fail(self, exit_code: int, fault: str) -> None:
        """Report a fault and request the end of the process, as a device context cannot be replaced. Thread-safe."""
        if not self.end.request(exit_code, fault):
            return
        self.get_logger().fatal(f"{fault}; exiting with code {exit_code}; the node should be restarted")
        if rclpy.ok(context=self.context):
            self._publish_diagnostics()
            self._diagnostics.wait_for_acknowledgements(ACKNOWLEDGEMENT_TIMEOUT)

    def flush_responses(self) -> None:
        """Wait, with a timeout, until requests for transitions and saved frames are answered."""
        flush_responses(self._transitions, self._saving)

    def destroy_node(self) -> None:
        """Leave the ROS graph; rclpy does not destroy the state machine, which would keep the node in the graph."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _stop(self) -> None:
        for stream in self._streams.values():
            stream.unsubscribe()
        if self._segmenter is not None:
            timeout = self._node_parameters.stop_timeout
            if not self._segmenter.stop(timeout):
                busy = f"the device has not finished a batch for {self._segmenter.busy_seconds():.0f} s"
                raise DeviceHungError(f"{busy} (timeouts.stop: {timeout} s)")
            self._segmenter = None
        for stream in self._streams.values():
            stream.last = None

    def _release(self) -> None:
        for stream in self._streams.values():
            stream.destroy()
        self._streams = {}
        timeout = self._node_parameters.stop_timeout
        if not finishes_within(timeout, self._release_device):
            raise DeviceHungError(f"the device has not been released within {timeout} s (timeouts.stop)")

    def _log_refusal(self, what: str, error: Exception) -> None:
        if rclpy.ok(context=self.context):
            self.get_logger().error(f"{what}: {' '.join(str(error).split())}")

    def _release_device(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._predictor = self._pipeline = None
        release_unused_memory()

    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult:
        categories = self._predictor.categories if self._predictor is not None else None
        return check_changes(self, changes, is_configured=self._is_configured, categories=categories)

    def _take_changes(self, changes: list[Parameter]) -> None:
        """Apply changed parameters from the next frame on."""
        if self._is_configured:
            self._node_parameters = read_parameters(self)
            self._select_categories()

    def _select_categories(self) -> None:
        """Publish the categories that the parameters select, from the next frame on, and their names."""
        if self._predictor is None or not self._streams:
            return
        self._selection = self._node_parameters.category_selection(self._predictor.categories)
        for stream in self._streams.values():
            header = Header(stamp=self.get_clock().now().to_msg())
            stream.publisher.publish_label_info(header, self._selection.categories)

    def _clock_has_jumped(self, jump: TimeJump) -> None:
        """Discard waiting frames after a backward jump of the clock, as when a bag restarts."""
        segmenter = self._segmenter
        waiting = segmenter.drop_waiting() if segmenter is not None else []
        for name, stream in self._streams.items():
            stream.on_clock_jump(waiting.count(name))

    def _reset_statistics(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for stream in self._streams.values():
            stream.statistics.reset()
        response.success, response.message = True, f"{len(self._streams)} cameras count from zero"
        return response

    def _save_frame(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Write the last segmented frame of each camera below `save_folder`."""
        parameters = {name: self.get_parameter(name).value for name in NAMES}
        try:
            folder = save_last_frames(self._node_parameters.save_folder, self._streams, self._predictor, parameters)
            response.success, response.message = True, str(folder)
        except SaveError as error:
            response.message = str(error)
            self.get_logger().error(response.message)
        return response

    def _supervise(self) -> None:
        """Publish the diagnostics, and fail if the device has not responded for too long."""
        self._publish_diagnostics()
        parameters, segmenter, since = self._node_parameters, self._segmenter, self._configuring_since
        busy = segmenter.busy_seconds() if segmenter is not None else 0.0
        if 0 < (limit := parameters.batch_timeout) < busy:
            self.fail(
                DEVICE_FAILURE, f"the device has not finished a batch for {busy:.0f} s (timeouts.batch: {limit} s)"
            )
        configuring = time.monotonic() - since if since is not None else 0.0
        if 0 < (limit := parameters.configure_timeout) < configuring:
            fault = f"the configuration has not finished within {configuring:.0f} s (timeouts.configure: {limit} s)"
            self.fail(DEVICE_FAILURE, fault)

    def _publish_diagnostics(self) -> None:
        state, parameters = self._state_machine.current_state[1], self._node_parameters
        streams, segmenter, predictor = self._streams, self._segmenter, self._predictor
        self._diagnostics.publish(
            NodeStatus(state, self.end.fault, parameters, streams, segmenter, predictor, self._max_batch)
        )

    def _on_fatal_error(self, error: Exception) -> None:
        """Handle a fatal error of the segmenter, on one of its threads, which then ends."""
        if isinstance(error, DeviceLostError):
            self.fail(DEVICE_FAILURE, f"the device no longer responds: {error}")
        else:
            self.fail(INTERNAL_ERROR, f"internal error: {error}")
