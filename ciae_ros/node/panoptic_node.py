# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The managed node: camera images in, panoptic label images and segments out."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import TimeJump
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor
from ciae_ros.inference.category_selection import CategorySelection
from ciae_ros.inference.loading.named_models import AUTO
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.inference.self_test import SelfTestError
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.cameras import parse_cameras
from ciae_ros.node.diagnostics_publisher import DiagnosticsPublisher, NodeStatus
from ciae_ros.node.errors import DeviceHungError, DeviceLostError
from ciae_ros.node.exit_codes import DEVICE_FAILURE, INTERNAL_ERROR
from ciae_ros.node.frame_report import SaveError, save_last_frames
from ciae_ros.node.lifecycle.managed_node import ManagedNode
from ciae_ros.node.lifecycle.process_end import ProcessEnd
from ciae_ros.node.lifecycle.worker import Worker, finishes_within
from ciae_ros.node.model_loading import (
    LoadPredictor,
    is_out_of_memory,
    load_predictor,
    release_unused_memory,
    warm_up,
)
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.fields import field_names
from ciae_ros.node.parameters.values import check_changes, read_parameters
from ciae_ros.node.publishing.result_publisher import OnResult
from ciae_ros.node.segmenter import Segmenter
from ciae_ros.tracking.warm_up import warm_up as warm_up_tracker


class PanopticNode(ManagedNode):
    """A managed node that segments the newest images of its cameras and publishes the results with their headers."""

    def __init__(
        self,
        load: LoadPredictor = load_predictor,
        end: ProcessEnd | None = None,
        on_result: OnResult | None = None,
        **options: Any,
    ) -> None:
        """Declare the parameters.

        Args:
            load: creates the predictor when the node is configured; tests inject faults here.
            end: the end of the process, if another node in the same process may request it, too.
            on_result: called with each result, on a thread of the segmenter, which it must not block.
            options: options of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: a parameter is invalid.
        """
        super().__init__("panoptic_node", NodeParameters, end, **options)
        self._load, self._on_result = load, on_result
        self._node_parameters = NodeParameters()
        self._predictor: Predictor | None = None
        self._pipeline: StreamPipeline | None = None
        self._max_batch = 1
        self._streams: dict[str, CameraStream] = {}
        # Shared by all cameras and configurations: no two tracks of this process have the same id.
        self._track_ids = count(1)
        self._segmenter: Segmenter | None = None
        self._selection: CategorySelection
        self._diagnostics = DiagnosticsPublisher(self)
        self._saving = Worker(self, "ciae-saving")
        save_frame, group = self._saving.serve(self._save_frame), ReentrantCallbackGroup()
        self.create_service(Trigger, "~/save_frame", save_frame, callback_group=group)
        self.create_service(Trigger, "~/reset_tracks", self._reset_tracks)
        self.start_services()

    def _configure(self) -> None:
        """Load and warm up the model, and create the output topics."""
        parameters = self._node_parameters = read_parameters(self, NodeParameters)
        cameras = parse_cameras(parameters)
        try:
            predictor = self._load_and_warm_up(parameters, len(cameras))
        except SelfTestError as error:
            if parameters.device != AUTO:
                raise
            self.get_logger().warning(f"{error}; the CPU is used instead")
            self._release_device()
            predictor = self._load_and_warm_up(replace(parameters, device="cpu"), len(cameras))
        warm_up_tracker()
        self.get_logger().info(
            f"model {predictor.name} ({predictor.digest}) on {predictor.device_name}, {predictor.precision}; "
            f"at most {self._max_batch} images at once"
        )
        if predictor.execution_reason:
            self.get_logger().info(predictor.execution_reason)
        if predictor.digest == UNTRAINED:
            self.get_logger().warning("the weights are untrained: the segments are meaningless")
        self._streams = {camera.name: CameraStream(self, camera, parameters, self._track_ids) for camera in cameras}
        self._select_categories()

    def _load_and_warm_up(self, parameters: NodeParameters, cameras: int) -> Predictor:
        predictor = self._predictor = self._load(parameters)
        parameters.category_selection(predictor.categories)
        self._pipeline = StreamPipeline(predictor)
        self._max_batch = warm_up(self._pipeline, parameters, cameras, self.get_logger().info)
        return predictor

    def _is_refusal(self, error: Exception) -> bool:
        return super()._is_refusal(error) or isinstance(error, CheckpointError) or is_out_of_memory(error)

    def _activate(self) -> None:
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
            on_result=self._on_result,
            note="untrained weights: the segments are meaningless" if self._predictor.digest == UNTRAINED else "",
        )
        for stream in self._streams.values():
            stream.statistics.reset()
            stream.reset_tracks()
            stream.subscribe(segmenter.scheduler.put, lambda: self._node_parameters.max_rate)
        self._diagnostics.restart_status_lines()
        self.get_logger().info(f"segmenting {', '.join(stream.topic for stream in self._streams.values())}")

    @property
    def stop_timeout(self) -> float:
        """Parameter `timeouts.stop`."""
        return self._node_parameters.stop_timeout

    @property
    def autostart(self) -> bool:
        """Parameter `autostart`."""
        return read_parameters(self, NodeParameters).autostart

    @property
    def _is_configured(self) -> bool:
        """Whether the node is configured or being configured, so that most parameters are fixed."""
        return self._predictor is not None or self.is_configuring

    @property
    def is_saving(self) -> bool:
        """Whether a frame is still being written after a second."""
        return not self._saving.is_idle_within(1.0)

    def _workers(self) -> list[Worker]:
        return [*super()._workers(), self._saving]

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

    def _release_device(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._predictor = self._pipeline = None
        release_unused_memory()

    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult:
        predictor = self._predictor
        check = (lambda parameters: parameters.category_selection(predictor.categories)) if predictor else None
        return check_changes(self, NodeParameters, changes, self._is_configured, check)

    def _take_changes(self, changes: list[Parameter]) -> None:
        if self._is_configured:
            self._node_parameters = read_parameters(self, NodeParameters)
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
        segmenter = self._segmenter
        waiting = segmenter.drop_waiting() if segmenter is not None else []
        for name, stream in self._streams.items():
            stream.on_clock_jump(waiting.count(name))

    def _reset_statistics(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for stream in self._streams.values():
            stream.statistics.reset()
        response.success, response.message = True, f"{len(self._streams)} cameras count from zero"
        return response

    def _reset_tracks(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for stream in self._streams.values():
            stream.reset_tracks()
        response.success, response.message = True, "the tracks of all cameras have been reset"
        return response

    def _save_frame(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Write the last segmented frame of each camera below `save_folder`."""
        parameters = {name: self.get_parameter(name).value for name in field_names(NodeParameters)}
        try:
            folder = save_last_frames(self._node_parameters.save_folder, self._streams, self._predictor, parameters)
            response.success, response.message = True, str(folder)
        except SaveError as error:
            response.message = str(error)
            self.get_logger().error(response.message)
        return response

    def _supervise(self) -> None:
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
        state, parameters = self.state, self._node_parameters
        streams, segmenter, predictor = self._streams, self._segmenter, self._predictor
        self._diagnostics.publish(
            NodeStatus(state, self.end.fault, parameters, streams, segmenter, predictor, self._max_batch)
        )

    def _wait_for_acknowledgements(self, seconds: float) -> None:
        self._diagnostics.wait_for_acknowledgements(seconds)

    def _on_fatal_error(self, error: Exception) -> None:
        """Handle a fatal error of the segmenter, on one of its threads, which then ends."""
        if isinstance(error, DeviceLostError):
            self.fail(DEVICE_FAILURE, f"the device no longer responds: {error}")
        else:
            self.fail(INTERNAL_ERROR, f"internal error: {error}")
