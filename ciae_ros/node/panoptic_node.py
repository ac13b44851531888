# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The managed node: camera images in, panoptic label images and segments out."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ciae_ros.inference import UNTRAINED, CheckpointError, Predictor
from ciae_ros.inference.host_memory import limit_malloc_arenas, trim_malloc
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.cameras import cameras_of
from ciae_ros.node.diagnostics_publisher import DIAGNOSTICS_PERIOD, DiagnosticsPublisher, NodeStatus
from ciae_ros.node.exit_codes import DEVICE_FAILURE, INTERNAL_ERROR, ORDERLY_END, REFUSAL
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
from ciae_ros.node.process_end import LAST_WORDS, ProcessEnd, end_process, end_process_after, serve
from ciae_ros.node.segmenter import DeviceHungError, DeviceLostError, Segmenter, described, is_out_of_memory
from ciae_ros.node.signals import until_interrupted
from ciae_ros.node.worker import Worker, finishes_within

REFUSED_BY_ROS = (
    rclpy_implementation.RCLError,
    rclpy_implementation.RCLInvalidROSArgsError,
    NameValidationException,
)
"""What ROS raises for arguments, names, parameter files and rights that do not fit."""

LISTENERS_TIMEOUT = 1.0
"""Seconds in which those who listen to the diagnostics should have acknowledged why the process ends."""

ANSWER_TIMEOUT = 3.5
"""Seconds that requests may take to be answered before the process ends: less than `LAST_WORDS`, after which it ends in
any case, and long enough for `LISTENERS_TIMEOUT`, which is spent before a failed transition is answered."""

Transition = Callable[["PanopticNode", LifecycleState], TransitionCallbackReturn]
LoadPredictor = Callable[[NodeParameters], Predictor]


def _logged(transition: Transition) -> Transition:
    """rclpy turns an exception in a transition into an error without a word: say what it was."""

    @functools.wraps(transition)
    def call(node: PanopticNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except DeviceHungError as error:
            node.fail(DEVICE_FAILURE, str(error))
        except Exception as error:
            # When ROS is shut down meanwhile, nothing can be made any more, and nobody needs it.
            if rclpy.ok(context=node.context):
                node.get_logger().error(f"{transition.__name__} failed: {error}\n{traceback.format_exc()}")
        return TransitionCallbackReturn.ERROR

    return call


class PanopticNode(LifecycleNodeMixin, Node):
    """Keeps the newest image of each camera, has them segmented, and publishes under the images' headers."""

    def __init__(self, load: LoadPredictor = load_predictor, **options: Any) -> None:
        """Declare the parameters.

        Args:
            load: makes the predictor when the node is configured; the seam at which tests put in faults.
            options: of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: one of them was set to something that it cannot be.
        """
        Node.__init__(self, "panoptic_node", **options)
        # Reentrant: the state can be asked for during a transition. Transitions themselves wait for each other.
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
        self._configuring_since: float | None = None
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._take_changes)
        self._diagnostics = DiagnosticsPublisher(self)
        # Whatever becomes of the node's clock, somebody may look at the diagnostics.
        self._timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._supervise, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._transitions = Worker(self, "ciae-transitions")
        self._service_change_state.callback = self._transitions.serve(self._service_change_state.callback)
        self._saving = Worker(self, "ciae-saving")
        save_frame, group = self._saving.serve(self._save_frame), ReentrantCallbackGroup()
        self.create_service(Trigger, "~/save_frame", save_frame, callback_group=group)
        self.create_service(Trigger, "~/reset_statistics", self._reset_statistics)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(backwards, post_callback=self._clock_has_jumped)

    def start(self) -> None:
        """Configure and activate, without waiting for it; if that fails, the end of the process is requested."""
        self._configuring_since = time.monotonic()
        self._transitions.submit(self._configure_and_activate)

    def _configure_and_activate(self) -> None:
        try:
            results = (trigger() for trigger in (self.trigger_configure, self.trigger_activate))
            failed = next((result for result in results if result != TransitionCallbackReturn.SUCCESS), None)
        except Exception as error:
            self._fail_after(RuntimeError(described(error)))
            return
        if failed == TransitionCallbackReturn.FAILURE:
            self.end.request(REFUSAL)
        elif failed is not None and rclpy.ok(context=self.context):
            self.fail(INTERNAL_ERROR, "internal error while starting")

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up and create the output topics."""
        self._configuring_since = time.monotonic()
        try:
            return self._configure(state)
        except Exception as error:
            refusals = ParameterError, CheckpointError, ValueError, *REFUSED_BY_ROS
            if not isinstance(error, refusals) and not is_out_of_memory(error):
                raise
            if rclpy.ok(context=self.context):
                self.get_logger().error(f"cannot be configured: {' '.join(str(error).split())}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        finally:
            self._configuring_since = None

    def _configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        parameters = self._node_parameters = read_parameters(self)
        cameras = cameras_of(parameters)
        predictor = self._predictor = self._load(parameters)
        pipeline = self._pipeline = StreamPipeline(predictor)
        self._max_batch = warm_up(pipeline, parameters, len(cameras), self.get_logger().info)
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
            on_end=self._fail_after,
            max_batch=self._max_batch,
            note="untrained weights: the segments mean nothing" if self._predictor.digest == UNTRAINED else "",
        )
        try:
            for stream in self._streams.values():
                stream.statistics.reset()
                stream.subscribe(segmenter.scheduler.put, lambda: self._node_parameters.max_rate)
        except REFUSED_BY_ROS as error:
            if rclpy.ok(context=self.context):
                self.get_logger().error(f"cannot be activated: {' '.join(str(error).split())}")
            self._stop()
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.restart_status_lines()
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
        """Stop and release everything; may be called in any state, and again.

        After a failure nothing is done: the process ends, and what hangs would hang once more.

        Raises:
            DeviceHungError: the device does not answer within `timeouts.stop`.
        """
        if not self.end.fault:
            self._stop()
            self._release()

    def close_in_turn(self) -> None:
        """Close after the transition that is under way.

        Raises:
            DeviceHungError: the device does not answer within `timeouts.stop`.
        """
        # Twice: for the batch that is under way, and for the device's memory.
        timeout = 2 * self._node_parameters.stop_timeout
        if not finishes_within(timeout, self._transitions.submit(self.close).result):
            raise DeviceHungError(f"a transition has not finished for {timeout:.0f} s")

    @property
    def is_configuring(self) -> bool:
        return self._configuring_since is not None

    @property
    def is_saving(self) -> bool:
        """A frame is being written, and will not be soon."""
        return not self._saving.is_idle_within(1.0)

    def fail(self, exit_code: int, fault: str) -> None:
        """Tell everybody that the process cannot go on, and have it end; may be called on any thread.

        A broken device context can only be replaced together with the process.
        """
        if not self.end.request(exit_code, fault):
            return
        self.get_logger().fatal(f"{fault}; ending with exit code {exit_code}, to be started again")
        if rclpy.ok(context=self.context):
            self._publish_diagnostics()
            self._diagnostics.wait_for_listeners(LISTENERS_TIMEOUT)

    def tell_last_words(self) -> None:
        """Wait, within bounds, until those are answered who have asked for a transition or a saved frame."""
        end = time.monotonic() + ANSWER_TIMEOUT
        for worker in (self._transitions, self._saving):
            worker.has_answered_within(max(0.0, end - time.monotonic()))
        time.sleep(0.2)  # The answers are on their way; for services there is no wait_for_all_acked.

    def destroy_node(self) -> None:
        """Leave the ROS graph; rclpy forgets the state machine, which would keep the node in it."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _stop(self) -> None:
        for stream in self._streams.values():
            stream.unsubscribe()
        if self._segmenter is not None:
            if not self._segmenter.stop(self._node_parameters.stop_timeout):
                raise DeviceHungError(
                    f"the device has not finished a batch for {self._segmenter.busy_seconds():.0f} s "
                    f"(timeouts.stop: {self._node_parameters.stop_timeout} s)"
                )
            self._segmenter = None
        for stream in self._streams.values():
            stream.last = None

    def _release(self) -> None:
        for stream in self._streams.values():
            stream.destroy()
        self._streams = {}
        if not finishes_within(self._node_parameters.stop_timeout, self._release_device):
            raise DeviceHungError(
                f"the device has not been released within {self._node_parameters.stop_timeout} s (timeouts.stop)"
            )

    def _release_device(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._predictor = self._pipeline = None
        trim_malloc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be, and what cannot change while the node is configured."""
        ours = {parameter.name: parameter.value for parameter in changes if parameter.name in NAMES}
        fixed = [name for name in ours if name not in CHANGEABLE]
        if fixed and (self._predictor is not None or self.is_configuring):
            reason = f"{', '.join(fixed)} can be set only while the node is unconfigured: clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        try:
            read_parameters(self, ours)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_changes(self, changes: list[Parameter]) -> None:
        """From the next frame on."""
        if self._predictor is not None or self.is_configuring:
            self._node_parameters = read_parameters(self)

    def _clock_has_jumped(self, jump: TimeJump) -> None:
        """A bag begins again: what waits is of a time that has not come yet."""
        segmenter = self._segmenter
        waiting = segmenter.drop_waiting() if segmenter is not None else []
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
        predictor = self._predictor
        if not frames or predictor is None:
            response.message = "no frame has been segmented since the node was activated"
            return response
        try:
            folder = new_folder(Path(self._node_parameters.save_folder).expanduser())
            about: dict[str, object] = {
                "model": predictor.name,
                "model digest": predictor.digest,
                "device": predictor.device_name,
                "parameters": {name: self.get_parameter(name).value for name in NAMES},
            }
            for name, (frame, segmented) in frames.items():
                save_frame(folder, name, frame.message, segmented, about)
        except OSError as error:
            response.message = f"cannot write below save_folder: {error}"
        except Exception as error:  # A report that cannot be made must not end what it reports on.
            response.message = f"the frame cannot be saved: {described(error)}"
        else:
            response.success, response.message = True, str(folder)
        if not response.success:
            self.get_logger().error(response.message)
        return response

    def _supervise(self) -> None:
        """Publish the diagnostics, and fail if the device has not answered for too long."""
        self._publish_diagnostics()
        parameters, segmenter, since = self._node_parameters, self._segmenter, self._configuring_since
        busy = segmenter.busy_seconds() if segmenter is not None else 0.0
        if 0 < parameters.batch_timeout < busy:
            timeout = f"timeouts.batch: {parameters.batch_timeout} s"
            self.fail(DEVICE_FAILURE, f"the device has not finished a batch for {busy:.0f} s ({timeout})")
        configuring = time.monotonic() - since if since is not None else 0.0
        if 0 < parameters.configure_timeout < configuring:
            timeout = f"timeouts.configure: {parameters.configure_timeout} s"
            self.fail(DEVICE_FAILURE, f"the configuration has not finished within {configuring:.0f} s ({timeout})")

    def _publish_diagnostics(self) -> None:
        state = self._state_machine.current_state[1]
        self._diagnostics.publish(
            NodeStatus(
                state,
                self.end.fault,
                self._node_parameters,
                self._streams,
                self._segmenter,
                self._predictor,
                self._max_batch,
            )
        )

    def _fail_after(self, error: Exception) -> None:
        """Called on a thread of the segmenter, which then ends."""
        if isinstance(error, DeviceLostError):
            self.fail(DEVICE_FAILURE, f"the device does not answer any more: {error}")
        else:
            self.fail(INTERNAL_ERROR, f"internal error: {error}")


def main(args: list[str] | None = None, load: LoadPredictor = load_predictor) -> int:
    """Run the node until it is interrupted, ROS shuts down, or it fails.

    Returns:
        `ORDERLY_END`, or `REFUSAL` if an argument, a parameter, the model or the device cannot be used. After a failure
        of the device or of the node itself the process ends here, with `DEVICE_FAILURE` or `INTERNAL_ERROR`.
    """
    limit_malloc_arenas()
    node: PanopticNode | None = None
    exit_code = ORDERLY_END
    try:
        rclpy.init(args=args)
        with until_interrupted():
            node = PanopticNode(load)
            if read_parameters(node).autostart:
                node.start()
            serve(node, node.end, node.fail)
            node.end.wait()
    except rclpy_implementation.UnknownROSArgsError as error:
        print(f"panoptic_node: unknown ROS arguments: {error}", file=sys.stderr)
        exit_code = REFUSAL
    except (ParameterError, *REFUSED_BY_ROS) as error:
        print(f"panoptic_node: {' '.join(str(error).split())}", file=sys.stderr)
        exit_code = REFUSAL
    except Exception:
        traceback.print_exc()
        end_process(INTERNAL_ERROR)
    if node is not None:
        exit_code = _leave(node) or exit_code
    rclpy.try_shutdown()
    return exit_code


def _leave(node: PanopticNode) -> int:
    """Close the node and leave the ROS graph within bounds; returns the exit code, or ends the process with it."""
    if node.end.fault:
        node.tell_last_words()
    elif not node.is_configuring:
        try:
            node.close_in_turn()
        except DeviceHungError as error:
            node.fail(DEVICE_FAILURE, str(error))
        except Exception as error:
            node.fail(INTERNAL_ERROR, f"internal error while ending: {described(error)}")
    # While the model is being loaded there is nothing to close yet, and loading cannot be interrupted.
    may_hang = bool(node.end.fault) or node.is_configuring or node.is_saving
    if may_hang:
        end_process_after(LAST_WORDS, node.end.exit_code)
    node.destroy_node()
    rclpy.try_shutdown()
    if may_hang:
        end_process(node.end.exit_code)
    return node.end.exit_code


if __name__ == "__main__":
    sys.exit(main())
