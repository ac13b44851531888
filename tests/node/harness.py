# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node as a process, and a client that communicates with it over DDS."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import rclpy
from ciae_msgs.msg import PanopticSegments
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from torch import Tensor

from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.node.lifecycle.process_end import NodeExecutor
from ciae_ros.node.model_loading import LoadPredictor, load_predictor
from ciae_ros.node.panoptic_node import PanopticNode
from tests.warmed_python import WarmedPython

START_TIMEOUT = 120.0
"""Timeout in seconds of a start, including the import of PyTorch on a busy machine with two cores."""

TIMEOUT = 60.0
"""Timeout in seconds of events that take a moment on an idle machine."""

GREETING = 0
"""Stamp of images that only test whether the node segments."""

PLAIN = {"backend": "torch", "precision": "fp32"}
"""Parameters of a node that measures nothing at its start and whose labels a `Predictor` repeats exactly."""

SMALL = {"model": "untrained/light_512", "input_size": "128", "expected_sizes": "[64x48]"}
"""Parameters of a node that starts and segments quickly."""


def start_node(*program: str, **parameters: str) -> subprocess.Popen[str]:
    """Start `panoptic_node`, or another program that runs the node, with its output in a pipe; by default `PLAIN`."""
    return start_program(*(program or ("-m", "ciae_ros.node.cli.panoptic_node")), **(PLAIN | parameters))


def start_program(*program: str, **parameters: str) -> subprocess.Popen[str]:
    """Start a program of Python with ROS parameters, and its output in a pipe."""
    settings = [argument for name, value in parameters.items() for argument in ("-p", f"{name}:={value}")]
    return WarmedPython([*program, "--ros-args", *settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@contextmanager
def node_in_this_process(
    load: LoadPredictor = load_predictor, state: str = "active", **parameters: Any
) -> Iterator[PanopticNode]:
    """Run `panoptic_node` on its own executor, in one of the states unconfigured, inactive and active.

    Its messages still use DDS; this avoids the import of PyTorch in a process.
    """
    small = {"model": "untrained/light_512", "input_size": 128, "expected_sizes": ["64x48"]}
    chosen = PLAIN | small | parameters
    # A busy machine may need longer for a batch, which must not end the process.
    chosen = {"timeouts__stop": 60.0, "timeouts__batch": 0.0} | chosen
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in chosen.items()]
    node = PanopticNode(load, parameter_overrides=overrides)
    executor = NodeExecutor()
    executor.add_node(node)
    triggers = (node.trigger_configure, node.trigger_activate)
    for trigger in triggers[: ("unconfigured", "inactive", "active").index(state)]:
        assert trigger() == TransitionCallbackReturn.SUCCESS
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.close()
        node.destroy_node()


def delay_network(node: PanopticNode, seconds: float, batches: list[int] | None = None) -> None:
    """Delay each batch, and record its number of images."""
    predictor = node._predictor
    assert predictor is not None
    undelayed = predictor.compute

    def compute(batch: Tensor, *arguments: Any) -> list[FusedImage]:
        if batches is not None:
            batches.append(len(batch))
        time.sleep(seconds)
        return undelayed(batch, *arguments)

    predictor.compute = compute  # type: ignore[method-assign]


@contextmanager
def held_network(node: PanopticNode) -> Iterator[None]:
    """Block all batches in the network within the context."""
    predictor = node._predictor
    assert predictor is not None
    undelayed = predictor.compute
    released = threading.Event()

    def compute(batch: Tensor, *arguments: Any) -> list[FusedImage]:
        released.wait()
        return undelayed(batch, *arguments)

    predictor.compute = compute  # type: ignore[method-assign]
    try:
        yield
    finally:
        released.set()
        predictor.compute = undelayed  # type: ignore[method-assign]


@contextmanager
def udp_only() -> Iterator[None]:
    """Disable shared memory for nodes created within the context, also in child processes.

    Remains of a killed process in the shared memory of Fast DDS occasionally block communication with the next
    process (docs/reliability.md).
    """
    before = dict(os.environ)
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        os.environ.pop(name, None)
    os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Client(Node):
    """Publishes images and stores the results of one of the node's cameras."""

    def __init__(self, compressed: bool = False, topic: str = "/image", outputs: str = "/panoptic_node") -> None:
        """Create the topics.

        Args:
            compressed: publish CompressedImage.
            topic: of the images.
            outputs: namespace of the camera's outputs.
        """
        super().__init__(f"client_{os.getpid()}_{time.monotonic_ns()}")
        self._outputs, self._topic = outputs, topic
        self._compressed = compressed
        self.labels: dict[int, Image] = {}
        self.segments: dict[int, PanopticSegments] = {}
        self.overlays: dict[int, Image] = {}
        self.semantics: dict[int, Image] = {}
        self.confidences: dict[int, Image] = {}
        self.arrivals: dict[int, float] = {}
        self.counts: dict[str, str] = {}
        self.statuses: dict[str, DiagnosticStatus] = {}
        self.images = self.create_publisher(CompressedImage if compressed else Image, topic, QoSProfile(depth=5))
        self.create_subscription(Image, f"{outputs}/labels", self._keep(self.labels), qos_profile_sensor_data)
        self.create_subscription(PanopticSegments, f"{outputs}/segments", self._keep(self.segments), 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._count, 10)

    def subscribe_to_overlay(self) -> None:
        """Subscribe to topics that are published only with a subscriber."""
        self.create_subscription(Image, f"{self._outputs}/overlay", self._keep(self.overlays), 10)
        self.create_subscription(Image, f"{self._outputs}/semantic", self._keep(self.semantics), 10)
        self.create_subscription(Image, f"{self._outputs}/confidence", self._keep(self.confidences), 10)

    def publish(self, pixels: np.ndarray, stamp: int, encoding: str = "bgr8") -> None:
        """Publish an image with a stamp in nanoseconds."""
        data = array("B")
        data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
        height, width = pixels.shape[:2]
        self.images.publish(
            Image(
                header=header(stamp),
                height=height,
                width=width,
                encoding=encoding,
                step=len(data) // height,
                data=data,
            )
        )

    def wait(self, condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Serve the topics until the condition holds.

        Raises:
            TimeoutError: it does not hold within the timeout.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"after {timeout} s; the node's counts are {self.counts}")
            rclpy.spin_once(self, timeout_sec=0.05)

    def wait_until_active(self, node: subprocess.Popen[str] | None) -> None:
        """Wait for a result, because a discovered subscription may not have discovered this publisher."""
        next_try = 0.0

        def answers() -> bool:
            nonlocal next_try
            if time.monotonic() > next_try and self.images.get_subscription_count():
                self.greet()
                next_try = time.monotonic() + 1.0
            return bool(self.labels) or (node is not None and node.poll() is not None)

        self.wait(answers, START_TIMEOUT)
        assert node is None or node.poll() is None, node.stdout and node.stdout.read()
        self.labels.clear()
        self.segments.clear()

    def wait_for_results(self) -> None:
        """Wait for results of a node in this process."""
        self.wait_until_active(None)

    def wait_for_fault(self, text: str) -> None:
        """Wait for a fault in the node's diagnostics, which may first report a previous node with the same name."""

        def is_logged() -> bool:
            status = self.statuses.get("/panoptic_node: node")
            return status is not None and status.level == DiagnosticStatus.ERROR and text in status.message

        self.wait(is_logged)

    def greet(self) -> None:
        """Send an image that can only be segmented."""
        pixels = np.zeros((48, 64, 3), np.uint8)
        if self._compressed:
            data = cv2.imencode(".png", pixels)[1].tobytes()
            self.images.publish(CompressedImage(header=header(GREETING), format="png", data=data))
        else:
            self.publish(pixels, GREETING)

    def call(self, service: str, kind: type, request: object) -> Any:
        client = self.create_client(kind, f"/panoptic_node/{service}")
        assert client.wait_for_service(START_TIMEOUT)
        future = client.call_async(request)
        self.wait(future.done, START_TIMEOUT)
        return future.result()

    def set_parameters_of_node(self, **values: object) -> list[str]:
        """Set parameters; returns the reasons of refusals, or empty strings."""
        parameters = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in parameters])
        return [result.reason for result in self.call("set_parameters", SetParameters, request).results]

    def request_transition(self, transition: int) -> Future[ChangeState.Response]:
        """Request a transition without waiting for it."""
        changer = self.create_client(ChangeState, "/panoptic_node/change_state")
        self.wait(changer.service_is_ready, START_TIMEOUT)
        request = ChangeState.Request()
        request.transition.id = transition
        return changer.call_async(request)

    def change_state(self, transition: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call("change_state", ChangeState, request).success)

    def state(self) -> str:
        return str(self.call("get_state", GetState, GetState.Request()).current_state.label)

    def _keep(self, store: dict[int, Any]) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            stamp = nanoseconds(message.header)
            if stamp == GREETING and self.arrivals:
                return  # A late answer to one of several.
            store[stamp] = message
            self.arrivals.setdefault(stamp, time.time())

        return keep

    def _count(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name] = status
            if status.hardware_id == self._topic:
                self.counts = {pair.key: pair.value for pair in status.values}


def header(stamp: int) -> Header:
    message = Header(frame_id="camera")
    message.stamp.sec, message.stamp.nanosec = divmod(stamp, 10**9)
    return message


def nanoseconds(message: Header) -> int:
    return message.stamp.sec * 10**9 + message.stamp.nanosec


def resident_megabytes(process: subprocess.Popen[str]) -> float:
    with open(f"/proc/{process.pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def wait_together(clients: Sequence[Client], condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Serve the topics of several clients until the condition holds.

    Raises:
        TimeoutError: it does not hold within the timeout.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout} s; the counts are {[client.counts for client in clients]}")
        for client in clients:
            rclpy.spin_once(client, timeout_sec=0.005)
