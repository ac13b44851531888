# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The managed node: labels with depth or lidar points in, labelled points and boxes of objects out."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import TimeJump
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from ciae_ros.core.diagnostics import NodeDiagnostics
from ciae_ros.node.diagnostics.event_reports import EventReports
from ciae_ros.node.diagnostics.frame_statistics import FrameStatistics
from ciae_ros.node.diagnostics.status import (
    DIAGNOSTICS_PERIOD,
    ERROR,
    OK,
    Finding,
    camera_diagnostics,
    camera_findings,
    diagnostic_array,
    diagnostic_status,
    status_line,
)
from ciae_ros.node.errors import DeviceHungError
from ciae_ros.node.exit_codes import INTERNAL_ERROR
from ciae_ros.node.lifecycle.managed_node import ManagedNode
from ciae_ros.node.lifecycle.process_end import ProcessEnd
from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.frame_assembly import FrameAssembly
from ciae_ros.node.panoptic_3d.frame_source import LabelSource
from ciae_ros.node.panoptic_3d.inputs import Inputs
from ciae_ros.node.panoptic_3d.processor import FrameProcessor
from ciae_ros.node.panoptic_3d.publisher import ScenePublisher
from ciae_ros.node.parameters.values import check_changes, read_parameters
from ciae_ros.spatial.scene import SceneBuilder
from ciae_ros.spatial.transform_buffer import TransformBuffer


class Panoptic3dNode(ManagedNode):
    """A managed node that publishes labelled points and objects with the stamps of the labels."""

    def __init__(self, end: ProcessEnd | None = None, with_labels: bool = True, **options: Any) -> None:
        """Declare the parameters.

        Args:
            end: the end of the process, if another node in the same process may request it, too.
            with_labels: whether labels come from topics; otherwise a node in this process calls `put`.
            options: options of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: a parameter is invalid.
        """
        super().__init__("panoptic_3d", Panoptic3dParameters, end, **options)
        self._with_labels = with_labels
        self._parameters_now = Panoptic3dParameters()
        self._statistics = FrameStatistics()
        self._transforms = TransformBuffer()
        self._publisher: ScenePublisher | None = None
        self._processor: FrameProcessor | None = None
        self._inputs: Inputs | None = None
        self._report = EventReports(self._statistics, self.get_logger())
        self._last_line = 0.0
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.start_services()

    def put(self, source: LabelSource) -> None:
        """Add a labelled frame of a node in this process; it is ignored unless this node is active. Thread-safe."""
        if (processor := self._processor) is not None:
            processor.put(source)

    def _configure(self) -> None:
        """Compile what runs for each frame, and create the output topics."""
        parameters = self._parameters_now = read_parameters(self, Panoptic3dParameters)
        reliability = ReliabilityPolicy[parameters.output_reliability.upper()]
        qos = QoSProfile(depth=parameters.output_depth, reliability=reliability)
        SceneBuilder().warm_up(parameters.scene_settings)
        self._publisher = ScenePublisher(self, qos, self._report, parameters.category_groups)

    def _activate(self) -> None:
        """Subscribe and start to process."""
        assert self._publisher is not None
        self._statistics.reset()
        assembly = FrameAssembly(lambda: self._parameters_now, self._transforms)
        processor = FrameProcessor(
            parameters=lambda: self._parameters_now,
            assembly=assembly,
            publisher=self._publisher,
            statistics=self._statistics,
            logger=self.get_logger(),
            on_fatal=lambda error: self.fail(INTERNAL_ERROR, f"internal error: {error}"),
        )
        self._processor = processor
        self._inputs = Inputs(
            self,
            self._parameters_now,
            assembly,
            processor,
            self._transforms,
            self._statistics,
            self._report,
            self._with_labels,
        )
        self._last_line = time.monotonic()
        measured = self._parameters_now.points or self._parameters_now.depth
        self.get_logger().info(f"combining labels of {self.label_topic} with {self.resolve_topic_name(measured)}")

    def _stop(self) -> None:
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._processor is not None:
            timeout = self.stop_timeout
            if not self._processor.stop(timeout):
                raise DeviceHungError(f"a frame has not been finished within {timeout} s (timeouts.stop)")
            self._processor = None
        self._transforms = TransformBuffer()

    def _release(self) -> None:
        if self._publisher is not None:
            self._publisher.destroy()
            self._publisher = None

    @property
    def stop_timeout(self) -> float:
        """Parameter `timeouts.stop`."""
        return self._parameters_now.stop_timeout

    @property
    def autostart(self) -> bool:
        """Parameter `autostart`."""
        return read_parameters(self, Panoptic3dParameters).autostart

    @property
    def label_topic(self) -> str:
        """Fully qualified name of the topic of the labels."""
        return self.resolve_topic_name(f"{self._parameters_now.outputs}/labels")

    @property
    def _is_configured(self) -> bool:
        return self._publisher is not None or self.is_configuring

    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult:
        return check_changes(self, Panoptic3dParameters, changes, self._is_configured)

    def _take_changes(self, changes: list[Parameter]) -> None:
        if self._is_configured:
            self._parameters_now = read_parameters(self, Panoptic3dParameters)

    def _clock_has_jumped(self, jump: TimeJump) -> None:
        if (processor := self._processor) is not None:
            processor.on_clock_jump()
        if (inputs := self._inputs) is not None:
            inputs.clear()

    def _reset_statistics(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._statistics.reset()
        response.success, response.message = True, "frames are counted from zero"
        return response

    def _supervise(self) -> None:
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        parameters, snapshot = self._parameters_now, self._statistics.snapshot()
        is_active = self._processor is not None
        name, topic = self.get_fully_qualified_name(), self.label_topic
        faults = [Finding(ERROR, self.end.fault)] if self.end.fault else []
        findings = [Finding(OK, self.state)]
        if is_active:
            findings = camera_findings(snapshot, parameters, self._diagnose_no_labels(), "labelled frame")
        statuses = (
            diagnostic_status(f"{name}: node", "", faults, NodeDiagnostics(self.state).to_values()),
            diagnostic_status(
                f"{name}: labels", topic, findings, camera_diagnostics(topic, snapshot).to_values_in_3d()
            ),
        )
        self._diagnostics.publish(diagnostic_array(self.get_clock().now().to_msg(), *statuses))
        period, now = parameters.status_period, time.monotonic()
        # The timer is not exact: lines that are due within half of its period are logged.
        if period and is_active and now - self._last_line >= period - DIAGNOSTICS_PERIOD / 2:
            self._last_line = now
            self.get_logger().info(status_line(self.state, {"labels": snapshot}))

    def _diagnose_no_labels(self) -> str:
        """Return why no labels arrive, according to the ROS graph, and what to do."""
        if not self._with_labels:
            return f"panoptic_node, in the same process, publishes nothing on {self.label_topic}: check outputs"
        if not self.get_publishers_info_by_topic(self.label_topic):
            return f"{self.label_topic} has no publisher: start panoptic_node, or set outputs"
        return f"the publisher of {self.label_topic} sends nothing, or its QoS is incompatible"

    def _wait_for_acknowledgements(self, seconds: float) -> None:
        self._diagnostics.wait_for_all_acked(Duration(seconds=seconds))
