# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Exit codes of the process after refusals, exceptions in callbacks, and a hanging device."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rclpy.event_handler import EventHandler, SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from ciae_ros.core.processes import stop
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR, DEVICE_FAILURE, INTERNAL_ERROR, NO_RESTART, NORMAL_EXIT
from ciae_ros.node.lifecycle.process_end import NodeExecutor, ProcessEnd, serve
from ciae_ros.node.model_loading import load_predictor
from ciae_ros.node.parameters.definitions import NodeParameters
from tests.node.faulty_node import HANG
from tests.node.harness import SMALL, Client, node_in_this_process, start_node

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
NODE = "/panoptic_node: node"


def test_codes_of_failures_are_none_after_which_the_node_stays_down() -> None:
    assert {NORMAL_EXIT, CONFIGURATION_ERROR} == NO_RESTART == {0, 78}
    assert not NO_RESTART & {INTERNAL_ERROR, DEVICE_FAILURE, 1, -signal.SIGSEGV, -signal.SIGKILL}


def test_the_first_fault_decides_the_exit_code_also_after_an_orderly_request(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(
        "ciae_ros.node.lifecycle.process_end.end_process_after", lambda seconds, code: ended.append(code)
    )
    end = ProcessEnd()
    assert end.request()
    assert not end.request(CONFIGURATION_ERROR)
    assert end.request(DEVICE_FAILURE, "it hangs")
    assert not end.request(INTERNAL_ERROR, "something that follows from it")
    assert (end.exit_code, end.fault, ended) == (DEVICE_FAILURE, "it hangs", [DEVICE_FAILURE])


def test_topics_may_be_destroyed_while_the_executor_builds_its_wait_set(
    ros: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, executor = Node("destroying"), NodeExecutor()
    executor.add_node(node)
    events = SubscriptionEventCallbacks(deadline=lambda event: None)
    subscription = node.create_subscription(Empty, "short_lived", lambda message: None, 10, event_callbacks=events)
    collect = EventHandler.add_to_wait_set

    def destroy_and_collect(handler: EventHandler, wait_set: Any) -> None:
        node.destroy_subscription(subscription)  # As a transition on another thread may do at this moment.
        collect(handler, wait_set)

    monkeypatch.setattr(EventHandler, "add_to_wait_set", destroy_and_collect)
    called: list[str] = []
    node.create_timer(0.01, lambda: called.append("timer"))
    while not called:
        executor.spin_once(timeout_sec=0.1)
    assert not list(node.subscriptions)
    executor.shutdown()
    node.destroy_node()


def broken_timer(node: Node, client: Node, fail: Any) -> None:
    node.create_timer(0.01, fail)


def broken_subscription(node: Node, client: Node, fail: Any) -> None:
    node.create_subscription(Empty, "broken", fail, 10)
    publisher = client.create_publisher(Empty, "broken", 10)
    client.create_timer(0.05, lambda: publisher.publish(Empty()))


def broken_service(node: Node, client: Node, fail: Any) -> None:
    node.create_service(Trigger, "broken", fail)
    caller = client.create_client(Trigger, "broken")
    client.create_timer(0.05, lambda: caller.service_is_ready() and caller.call_async(Trigger.Request()))


def broken_thread(node: Node, client: Node, fail: Any) -> None:
    client.create_timer(0.05, lambda: threading.Thread(target=fail).start())


@pytest.mark.parametrize("create", [broken_timer, broken_subscription, broken_service, broken_thread])
def test_an_exception_in_a_callback_or_on_a_thread_is_an_internal_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, create: Any
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # Put back in the end.

    def fail(*messages: object) -> None:
        raise KeyError("injected")

    node, end = Node("faulty"), ProcessEnd()
    faults: list[tuple[int, str]] = []
    create(node, client, fail)
    serve([node], end, lambda code, fault: faults.append((code, fault)))
    client.wait(lambda: faults, 60)
    assert faults[0] == (INTERNAL_ERROR, "internal error: KeyError: 'injected'")
    if create is not broken_thread:
        end.wait()
    node.destroy_node()


SLOW_EXECUTOR = """
import sys
import time
from ciae_ros.node.lifecycle import process_end
from ciae_ros.node.cli.panoptic_node import main

spin = process_end.NodeExecutor.spin

def spin_and_wait(executor):
    try:
        spin(executor)
    finally:
        time.sleep(0.5)
        print("the executor has ended", flush=True)

process_end.NodeExecutor.spin = spin_and_wait
sys.exit(main(sys.argv))
"""


def test_the_interpreter_does_not_end_before_the_executor() -> None:
    """Python stops threads at its end, and one that it stops within rclpy aborts the process."""
    process = start_node("-c", SLOW_EXECUTOR, model="missing.safetensors")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == CONFIGURATION_ERROR
    assert "the executor has ended" in output


FAULTY_SERVICE = """
import sys
from ciae_ros.node import panoptic_node
from ciae_ros.node.cli.panoptic_node import main

def fail(*arguments):
    raise KeyError("injected")

panoptic_node.PanopticNode._reset_statistics = fail
sys.exit(main(sys.argv))
"""


def test_a_node_whose_service_raises_ends_with_the_code_of_an_internal_error(client: Client, ros: None) -> None:
    process = start_node("-c", FAULTY_SERVICE, **SMALL)
    try:
        client.wait_until_active(process)
        service = client.create_client(Trigger, "/panoptic_node/reset_statistics")
        client.wait(service.service_is_ready, 60)
        service.call_async(Trigger.Request())
        client.wait(lambda: process.poll() is not None, 60)
    finally:
        process.kill()
        output, _ = process.communicate()
    assert process.returncode == INTERNAL_ERROR, output
    assert "internal error: KeyError: 'injected'; exiting with code 70; the node should be restarted" in output
    assert "Traceback (most recent call last)" in output, output


def hang(client: Client, process: subprocess.Popen[str]) -> None:
    """Let the node's network hang on an image."""
    client.wait_until_active(process)
    pixels = IMAGE.copy()
    pixels[0, 0, 0] = HANG
    client.publish(pixels, 1)
    client.wait_for_fault("a frame has been in the network for")


def start_hanging_node(*program: str, **parameters: str) -> subprocess.Popen[str]:
    quickly = {"diagnostics.stuck_after": "0.5", "timeouts.batch": "0.0", "timeouts.stop": "2.0"}
    return start_node(*(program or ("-m", "tests.node.faulty_node")), **(SMALL | quickly | parameters))


def test_a_hanging_batch_does_not_block_services_and_deactivation(client: Client, ros: None) -> None:
    process = start_hanging_node(**{"timeouts.stop": "10.0"})
    try:
        hang(client, process)
        assert client.state() == "active"
        assert client.call("reset_statistics", Trigger, Trigger.Request()).success
        assert client.set_parameters_of_node(max_rate=5.0) == [""]
        deactivation = client.request_transition(Transition.TRANSITION_DEACTIVATE)
        client.wait(lambda: client.state() == "deactivating")
        client.statuses.clear()
        client.wait(lambda: NODE in client.statuses)
        assert not deactivation.done()
        client.wait(deactivation.done, 60)
        assert not deactivation.result().success
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == DEVICE_FAILURE, output
    assert "the device has not finished a batch for" in output
    client.wait(lambda: "the device has not finished a batch for" in client.statuses[NODE].message)


LATE_ANSWER = """
import sys, time
from ciae_ros.node import panoptic_node
from ciae_ros.node.cli.panoptic_node import main
from ciae_ros.node.diagnostics_publisher import DiagnosticsPublisher
from tests.node.faulty_node import load_faulty_predictor

def wait_for_listeners(diagnostics, seconds):
    time.sleep(seconds)  # One of them acknowledges nothing.
    diagnostics._node.executor.create_task(time.sleep, 1.0)  # And the executor is busy when the answer is there.
    time.sleep(0.1)

DiagnosticsPublisher.wait_for_listeners = wait_for_listeners
sys.exit(main(sys.argv, load=load_faulty_predictor))
"""


def test_a_failed_transition_gets_a_response_before_the_process_ends(client: Client, ros: None) -> None:
    process = start_hanging_node("-c", LATE_ANSWER)
    try:
        hang(client, process)
        deactivation = client.request_transition(Transition.TRANSITION_DEACTIVATE)
        client.wait(lambda: deactivation.done() or process.poll() is not None)
        client.wait(deactivation.done, 5.0)
        assert not deactivation.result().success
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == DEVICE_FAILURE, output


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_batch_that_never_comes_back_does_not_outlive_a_signal(
    client: Client, ros: None, end: signal.Signals
) -> None:
    process = start_hanging_node()
    try:
        hang(client, process)
        process.send_signal(end)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == DEVICE_FAILURE, output
    assert "the device has not finished a batch for" in output


def test_a_batch_that_takes_too_long_ends_the_process(client: Client, ros: None) -> None:
    process = start_hanging_node(**{"timeouts.batch": "3.0"})
    try:
        hang(client, process)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == DEVICE_FAILURE, output
    assert "the device has not finished a batch for" in output
    assert "the node should be restarted" in output


HANGING_LOAD = """
import sys, threading
from ciae_ros.node import panoptic_node
from ciae_ros.node.cli.panoptic_node import main

sys.exit(main(sys.argv, load=lambda parameters: threading.Event().wait()))
"""


def test_a_configuration_that_hangs_ends_at_a_signal_or_at_its_timeout(client: Client, ros: None) -> None:
    command = [sys.executable, "-c", HANGING_LOAD, "--ros-args", "-p"]
    patient = subprocess.Popen([*command, "timeouts.configure:=0.0"])
    try:
        client.wait(lambda: NODE in client.statuses, 120)
        assert client.state() == "configuring"
    finally:
        code = stop(patient)
    assert code == NORMAL_EXIT
    limited = subprocess.run([*command, "timeouts.configure:=1.0"], capture_output=True, text=True, check=False)
    assert limited.returncode == DEVICE_FAILURE, limited.stderr
    assert "the configuration has not finished within" in limited.stderr


def test_state_diagnostics_and_services_are_available_during_configuration(client: Client) -> None:
    loading, may_go_on = threading.Event(), threading.Event()

    def load(parameters: NodeParameters) -> Any:
        loading.set()
        assert may_go_on.wait(120)
        return load_predictor(parameters)

    with node_in_this_process(load, state="unconfigured") as node:
        configuration = client.request_transition(Transition.TRANSITION_CONFIGURE)
        try:
            client.wait(loading.is_set, 60)
            assert client.state() == "configuring"
            client.statuses.clear()
            client.wait(lambda: NODE in client.statuses)
            (reason,) = client.set_parameters_of_node(model="untrained/r50_512")
            assert "only while the node is unconfigured" in reason
            assert client.set_parameters_of_node(max_rate=7.0) == [""]
        finally:
            may_go_on.set()
        client.wait(configuration.done, 60)
        assert configuration.result().success
        assert node._node_parameters.max_rate == 7.0


def test_transitions_in_a_flood_of_images_leave_the_node_alive(client: Client) -> None:
    with node_in_this_process() as node:
        client.wait_for_results()
        ended = threading.Event()

        def flood() -> None:
            stamp = 1
            while not ended.is_set():
                client.publish(IMAGE, stamp := stamp + 1)
                time.sleep(0.002)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(30):
                assert client.change_state(Transition.TRANSITION_DEACTIVATE)
                assert client.change_state(Transition.TRANSITION_ACTIVATE)
        finally:
            ended.set()
            thread.join()
        assert not node.end.fault
        client.labels.clear()
        client.arrivals.clear()
        client.wait_for_results()
