# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The managed node: camera images in, panoptic label images and segments out."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor
from ciae_ros.inference.host_memory import give_back_freed_memory, use_one_heap
from ciae_ros.inference.stream_pipeline import StreamPipeline
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.cameras import cameras_of
from ciae_ros.node.diagnostics import (
    ERROR,
    OK,
    Finding,
    camera_findings,
    camera_values,
    diagnostic_array,
    status,
    status_line,
)
from ciae_ros.node.frame_report import new_folder, save_frame
from ciae_ros.node.model_loading import load_predictor, warm_up
from ciae_ros.node.parameters import (
    CHANGEABLE,
    NAMES,
    NodeParameters,
    ParameterError,
    declare_parameters,
    read_parameters,
)
from ciae_ros.node.segmenter import DeviceLostError, Segmenter, is_out_of_memory
from ciae_ros.node.signals import until_interrupted

DIAGNOSTICS_PERIOD = 1.0
"""Seconds between messages on /diagnostics."""

EXIT_DEVICE_LOST = 75
"""Exit code after the device has stopped answering, so that a new process is worth a try (EX_TEMPFAIL)."""

EXIT_INTERNAL_ERROR = 70
"""Exit code after an error that no frame is to blame for (EX_SOFTWARE)."""

LAST_WORDS = 5.0
"""Seconds that the process has for an orderly end after that: what hangs on the device may hang for ever."""

Transition = Callable[["PanopticNode", LifecycleState], TransitionCallbackReturn]
LoadPredictor = Callable[[NodeParameters], Predictor]


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
    """Keeps the newest image of each camera, has them segmented, and publishes under the images' headers."""

    def __init__(self, load: LoadPredictor = load_predictor, **options: Any) -> None:
        """Declare the parameters.

        Args:
            load: makes the predictor when the node is configured; the seam at which tests put in faults.
            options: of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: one of them was set to something that it cannot be.
        """
        super().__init__("panoptic_node", **options)
        declare_parameters(self)
        self.exit_code = 0
        self._load = load
        self._node_parameters = NodeParameters()
        self._predictor: Predictor | None = None
        self._pipeline: StreamPipeline | None = None
        self._max_batch = 1
        self._streams: dict[str, CameraStream] = {}
        self._segmenter: Segmenter | None = None
        self._fault = ""
        self._last_status_line = 0.0
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._take_changes)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Whatever becomes of the node's clock, somebody may look at the diagnostics.
        self._timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.create_service(Trigger, "~/reset_statistics", self._reset_statistics)
        self.create_service(Trigger, "~/save_frame", self._save_frame)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(backwards, post_callback=self._clock_has_jumped)

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up and create the output topics."""
        try:
            parameters = self._node_parameters = read_parameters(self)
            cameras = cameras_of(parameters)
            predictor = self._predictor = self._load(parameters)
            pipeline = self._pipeline = StreamPipeline(predictor)
            self._max_batch = warm_up(pipeline, parameters, len(cameras), self.get_logger().info)
        except Exception as error:
            if not isinstance(error, ParameterError | CheckpointError | ValueError) and not is_out_of_memory(error):
                raise
            self._release()
            self.get_logger().error(f"cannot be configured: {' '.join(str(error).split())}")
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f"model {predictor.name} ({predictor.digest}) on {predictor.device_name}, {predictor.precision}; "
            f"at most {self._max_batch} images at once"
        )
        if predictor.digest == UNTRAINED:
            self.get_logger().warning("the weights are untrained: the segments mean nothing")
        self._streams = {camera.name: CameraStream(self, camera, parameters) for camera in cameras}
        for stream in self._streams.values():
            header = Header(stamp=self.get_clock().now().to_msg())
            stream.publisher.publish_label_info(header, predictor.categories)
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and begin to segment."""
        assert self._predictor is not None and self._pipeline is not None
        segmenter = self._segmenter = Segmenter(
            self._predictor,
            self._pipeline,
            self._streams,
            parameters=lambda: self._node_parameters,
            clock=self.get_clock(),
            logger=self.get_logger(),
            on_end=self._end_after,
            max_batch=self._max_batch,
            note="untrained weights: the segments mean nothing" if self._predictor.digest == UNTRAINED else "",
        )
        for stream in self._streams.values():
            stream.statistics.reset()
            stream.subscribe(segmenter.scheduler.put, lambda: self._node_parameters.max_rate)
        self._last_status_line = time.monotonic()
        self.get_logger().info(f"segmenting {', '.join(stream.topic for stream in self._streams.values())}")
        return super().on_activate(state)

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop after the frames that are in the network now; frames that wait are dropped."""
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

    def destroy_node(self) -> None:
        """Leave the ROS graph; rclpy forgets the state machine, which would keep the node in it."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _stop(self) -> None:
        for stream in self._streams.values():
            stream.unsubscribe()
        if self._segmenter is not None:
            self._segmenter.stop()
            self._segmenter = None
        for stream in self._streams.values():
            stream.last = None

    def _release(self) -> None:
        for stream in self._streams.values():
            stream.destroy()
        self._streams = {}
        if self._pipeline is not None:
            self._pipeline.close()
        self._predictor = self._pipeline = None
        give_back_freed_memory()
        if torch.cuda.is_available() and not self._fault:
            torch.cuda.empty_cache()

    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be, and what cannot change while the node is configured."""
        ours = {parameter.name: parameter.value for parameter in changes if parameter.name in NAMES}
        fixed = [name for name in ours if name not in CHANGEABLE]
        if fixed and self._predictor is not None:
            reason = f"{', '.join(fixed)} can be set only while the node is unconfigured: clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        try:
            read_parameters(self, ours)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_changes(self, changes: list[Parameter]) -> None:
        """From the next frame on."""
        if self._predictor is not None:
            self._node_parameters = read_parameters(self)

    def _clock_has_jumped(self, jump: TimeJump) -> None:
        """A bag begins again: what waits is of a time that has not come yet."""
        waiting = self._segmenter.drop_waiting() if self._segmenter is not None else []
        for name, stream in self._streams.items():
            stream.forget_time(waiting.count(name))

    def _reset_statistics(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for stream in self._streams.values():
            stream.statistics.reset()
        response.success, response.message = True, f"{len(self._streams)} cameras count from zero"
        return response

    def _save_frame(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Write the last segmented frame of each camera below `save_folder`."""
        frames = {name: stream.last for name, stream in self._streams.items() if stream.last is not None}
        if not frames or self._predictor is None:
            response.message = "no frame has been segmented since the node was activated"
            return response
        about: dict[str, object] = {
            "model": self._predictor.name,
            "model digest": self._predictor.digest,
            "device": self._predictor.device_name,
            "parameters": {name: self.get_parameter(name).value for name in NAMES},
        }
        try:
            folder = new_folder(Path(self._node_parameters.save_folder).expanduser())
            for name, (frame, segmented) in frames.items():
                save_frame(folder, name, frame.message, segmented, about)
        except OSError as error:
            response.message = f"cannot write below save_folder: {error}"
            return response
        response.success, response.message = True, str(folder)
        return response

    def _publish_diagnostics(self) -> None:
        """Say how the node and its cameras are doing."""
        parameters, state = self._node_parameters, self._state_machine.current_state[1]
        snapshots = {name: stream.statistics.snapshot() for name, stream in self._streams.items()}
        name, device = self.get_fully_qualified_name(), self._predictor.device_name if self._predictor else ""
        statuses = [status(f"{name}: node", device, self._node_findings(), self._node_values(state))]
        for camera, stream in self._streams.items():
            snapshot, findings = snapshots[camera], [Finding(OK, state)]
            if self._segmenter is not None:
                why = stream.why_silent() if snapshot.silent_for > parameters.stale_after else ""
                findings = camera_findings(snapshot, parameters, why)
            values = camera_values(stream.topic, snapshot)
            statuses.append(status(f"{name}: camera {camera}", stream.topic, findings, values))
        self._diagnostics.publish(diagnostic_array(self.get_clock().now().to_msg(), *statuses))
        period, now = parameters.status_period, time.monotonic()
        # The timer is not exact: what is due within half of its period is due.
        if period and self._segmenter is not None and now - self._last_status_line >= period - DIAGNOSTICS_PERIOD / 2:
            self._last_status_line = now
            self.get_logger().info(status_line(state, snapshots))

    def _node_findings(self) -> list[Finding]:
        findings = [Finding(ERROR, self._fault)] if self._fault else []
        if self._segmenter is not None:
            busy = self._segmenter.busy_for()
            if busy > self._node_parameters.stuck_after:
                findings.append(Finding(ERROR, f"a frame has been in the network for {busy:.0f} s"))
        own = (self.get_name(), self.get_namespace())
        others = self.get_node_names_and_namespaces().count(own) - 1
        if others > 0:
            text = f"{others} more nodes are called {self.get_fully_qualified_name()}: give each a name or namespace"
            findings.append(Finding(ERROR, text))
        return findings

    def _node_values(self, state: str) -> dict[str, object]:
        values: dict[str, object] = {"state": state}
        if self._predictor is not None:
            values |= {"model": self._predictor.name, "model digest": self._predictor.digest}
            values |= {"device": self._predictor.device_name, "precision": self._predictor.precision}
            reserved = self._predictor.reserved_bytes()
            values["device memory [MiB]"] = "none" if reserved is None else f"{reserved / 2**20:.0f}"
            values["images at once"] = self._max_batch
        return values

    def _end_after(self, error: Exception) -> None:
        """Called on a thread of the segmenter: a process with a broken CUDA context can only be replaced."""
        is_lost = isinstance(error, DeviceLostError)
        self.exit_code = EXIT_DEVICE_LOST if is_lost else EXIT_INTERNAL_ERROR
        watchdog = threading.Timer(LAST_WORDS, os._exit, (self.exit_code,))
        watchdog.daemon = True
        watchdog.start()
        self._fault = f"{'the device does not answer any more' if is_lost else 'internal error'}: {error}"
        self.get_logger().fatal(f"{self._fault}; ending with exit code {self.exit_code}, to be started again")
        self._publish_diagnostics()
        self._diagnostics.wait_for_all_acked(Duration(seconds=1))
        rclpy.try_shutdown()


def main(args: list[str] | None = None, load: LoadPredictor = load_predictor) -> int:
    """Run the node until it is interrupted or ROS shuts down.

    Returns:
        0 after an orderly end, 1 if a parameter, the model or the device cannot be used, `EXIT_DEVICE_LOST` if the
        device has stopped answering, `EXIT_INTERNAL_ERROR` after a fault of the node itself.
    """
    use_one_heap()
    rclpy.init(args=args)
    node: PanopticNode | None = None
    try:
        with until_interrupted():
            node = PanopticNode(load)
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
    if node is not None and node.exit_code:
        # The interpreter's own end would call the device once more.
        sys.stderr.flush()
        os._exit(node.exit_code)
    return 0


def _start(node: PanopticNode) -> bool:
    """Configure and activate; True if both succeeded."""
    for trigger in (node.trigger_configure, node.trigger_activate):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
