# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the managed nodes of the package have in common: states, parameters, failures and their end."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from ciae_ros.node.diagnostics.status import DIAGNOSTICS_PERIOD
from ciae_ros.node.errors import (
    ROS_CONFIGURATION_ERRORS,
    DeviceHungError,
    describe_error,
    log_transition_errors,
)
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR, INTERNAL_ERROR
from ciae_ros.node.lifecycle.process_end import ProcessEnd
from ciae_ros.node.lifecycle.worker import Worker, finishes_within, flush_responses
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.fields import ParameterSet
from ciae_ros.node.parameters.values import declare_parameters

ACKNOWLEDGEMENT_TIMEOUT = 1.0
"""Seconds to wait until subscribers of the diagnostics have acknowledged why the process ends."""


class ManagedNode(LifecycleNodeMixin, Node):
    """A managed node whose transitions run on a thread of their own, and which ends its process after a failure."""

    def __init__(self, name: str, kind: type[ParameterSet], end: ProcessEnd | None, **options: Any) -> None:
        """Declare the parameters.

        Args:
            name: default name of the node.
            kind: its parameters.
            end: the end of the process, if another node in the same process may request it, too.
            options: options of `rclpy.node.Node`, for a node that shares its process with others.

        Raises:
            ParameterError: a parameter is invalid.
        """
        Node.__init__(self, name, **options)
        # Reentrant: the state can be requested during a transition. Transitions themselves run one at a time.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        try:
            declare_parameters(self, kind)
        except ParameterError:
            # Its parts refer to each other: it would stay in the graph until the garbage collector finds them.
            self.destroy_node()
            raise
        self.end = end or ProcessEnd()
        self._configuring_since: float | None = None
        self._transitions = Worker(self, "ciae-transitions")
        self._service_change_state.callback = self._transitions.serve(self._service_change_state.callback)

    def start_services(self) -> None:
        """Serve parameters, statistics, diagnostics and the clock, once the node is constructed."""
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._take_changes)
        # Independent of simulated time, so that diagnostics are always published.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(DIAGNOSTICS_PERIOD, self._supervise, clock=steady)
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
            self.fail(INTERNAL_ERROR, f"internal error: {describe_error(error)}")
            return
        if failed == TransitionCallbackReturn.FAILURE:
            self.end.request(CONFIGURATION_ERROR)
        elif failed is not None and rclpy.ok(context=self.context):
            self.fail(INTERNAL_ERROR, "internal error while starting")

    @log_transition_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Prepare everything and create the output topics."""
        self._configuring_since = time.monotonic()
        try:
            self._configure()
            return super().on_configure(state)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self._log_refusal("cannot be configured", error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        finally:
            self._configuring_since = None

    @log_transition_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to process."""
        try:
            self._activate()
        except ROS_CONFIGURATION_ERRORS as error:
            self._log_refusal("cannot be activated", error)
            self._stop()
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    @log_transition_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop after the frames that are being processed; waiting frames are dropped."""
        self._stop()
        return super().on_deactivate(state)

    @log_transition_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything that was prepared."""
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
            DeviceHungError: the device does not respond within `stop_timeout`.
        """
        if not self.end.fault:
            self._stop()
            self._release()

    def close_after_transition(self) -> None:
        """Close after the current transition.

        Raises:
            DeviceHungError: the device does not respond within `stop_timeout`.
        """
        # Twice: for the current frames, and for what is released.
        timeout = 2 * self.stop_timeout
        if not finishes_within(timeout, self._transitions.submit(self.close).result):
            raise DeviceHungError(f"a transition has not finished for {timeout:.0f} s")

    @property
    def is_configuring(self) -> bool:
        return self._configuring_since is not None

    @property
    def is_saving(self) -> bool:
        """Whether a file is still being written after a second."""
        return False

    @property
    def state(self) -> str:
        """Label of the lifecycle state."""
        return str(self._state_machine.current_state[1])

    def fail(self, exit_code: int, fault: str) -> None:
        """Report a fault and request the end of the process, as a device context cannot be replaced. Thread-safe."""
        if not self.end.request(exit_code, fault):
            return
        self.get_logger().fatal(f"{fault}; exiting with code {exit_code}; the node should be restarted")
        if rclpy.ok(context=self.context):
            self._publish_diagnostics()
            self._wait_for_acknowledgements(ACKNOWLEDGEMENT_TIMEOUT)

    def flush_responses(self) -> None:
        """Wait, with a timeout, until requests are answered."""
        flush_responses(*self._workers())

    def destroy_node(self) -> None:
        """Leave the ROS graph; rclpy does not destroy the state machine, which would keep the node in the graph."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _workers(self) -> list[Worker]:
        """Return the threads that serve requests."""
        return [self._transitions]

    def _log_refusal(self, what: str, error: Exception) -> None:
        if rclpy.ok(context=self.context):
            self.get_logger().error(f"{what}: {' '.join(str(error).split())}")

    def _is_refusal(self, error: Exception) -> bool:
        """Whether an exception of `_configure` means that the configuration cannot be used."""
        return isinstance(error, (ParameterError, ValueError, *ROS_CONFIGURATION_ERRORS))

    @property
    @abstractmethod
    def stop_timeout(self) -> float:
        """Seconds that a stop, and then a release, may take."""

    @property
    @abstractmethod
    def autostart(self) -> bool:
        """Whether the node starts without a lifecycle manager."""

    @abstractmethod
    def _configure(self) -> None: ...

    @abstractmethod
    def _activate(self) -> None: ...

    @abstractmethod
    def _stop(self) -> None: ...

    @abstractmethod
    def _release(self) -> None: ...

    @abstractmethod
    def _supervise(self) -> None:
        """Publish the diagnostics, and fail if something has not responded for too long."""

    @abstractmethod
    def _publish_diagnostics(self) -> None: ...

    @abstractmethod
    def _wait_for_acknowledgements(self, seconds: float) -> None:
        """Wait until the subscribers of the diagnostics have acknowledged the last message."""

    @abstractmethod
    def _check_changes(self, changes: list[Parameter]) -> SetParametersResult: ...

    @abstractmethod
    def _take_changes(self, changes: list[Parameter]) -> None:
        """Apply changed parameters from the next frame on."""

    @abstractmethod
    def _clock_has_jumped(self, jump: TimeJump) -> None:
        """Discard waiting frames after a backward jump of the clock, as when a bag restarts."""

    @abstractmethod
    def _reset_statistics(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response: ...
