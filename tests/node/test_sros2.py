# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The SROS2 policy contains exactly the names of the node; with it the node works and is hidden from others."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from std_srvs.srv import Trigger

from ciae_ros.core.processes import stop
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from ciae_ros.node.publishing.messages import Detection2DArray, LabelInfo
from tests.node.harness import SMALL, Client, node_in_this_process

POLICY = Path(__file__).parents[2] / "config" / "sros2" / "panoptic_policy.xml"
ENCLAVE = "/panoptic_node"
ROS2 = [sys.executable, "-W", "ignore", "-c", "from ros2cli.cli import main; raise SystemExit(main())"]
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@dataclass(frozen=True)
class Interfaces:
    """Full names of topics and services."""

    published: set[str]
    subscribed: set[str]
    served: set[str]


def policy_interfaces() -> Interfaces:
    (enclave,) = ElementTree.parse(POLICY).getroot().findall("enclaves/enclave")
    (profile,) = enclave.findall("profiles/profile")
    assert (enclave.get("path"), profile.get("ns"), profile.get("node")) == (ENCLAVE, "/", "panoptic_node")
    assert {rule for group in profile for rule in group.attrib.values()} == {"ALLOW"}

    def names(kind: str, action: str) -> set[str]:
        texts = [element.text or "" for element in profile.findall(f"{kind}s[@{action}]/{kind}")]
        full = {text.replace("~", "/panoptic_node") if text[0] in "~/" else f"/{text}" for text in texts}
        assert len(full) == len(texts), "something is named twice"
        return full

    return Interfaces(names("topic", "publish"), names("topic", "subscribe"), names("service", "reply"))


def node_interfaces(node: Node) -> Interfaces:
    where = node.get_name(), node.get_namespace()
    queries = (
        node.get_publisher_names_and_types_by_node,
        node.get_subscriber_names_and_types_by_node,
        node.get_service_names_and_types_by_node,
    )
    return Interfaces(*({name for name, _ in query(*where)} for query in queries))


def test_policy_permits_exactly_the_names_of_an_active_node(ros: None) -> None:
    with node_in_this_process() as node:
        present = node_interfaces(node)
    policy = policy_interfaces()
    without_vision_msgs = {f"{ENCLAVE}/detections"} if Detection2DArray is None else set()
    without_vision_msgs |= {f"{ENCLAVE}/label_info"} if LabelInfo is None else set()
    assert policy.published == present.published | without_vision_msgs
    assert policy.subscribed == present.subscribed | {"/clock"}
    assert policy.served == present.served


@pytest.fixture(scope="module")
def keystore(ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore as in docs/security.md, with an enclave for a client that may do everything."""
    for module in ("ros2cli", "sros2"):
        if not importlib.util.find_spec(module):
            pytest.skip(f"needs {module}, which a ROS distribution has")
    folder = tmp_path_factory.mktemp("keystore")
    for verb, *arguments in (
        ("create_keystore",),
        ("create_enclave", ENCLAVE),
        ("create_enclave", "/client"),
        ("create_permission", ENCLAVE, POLICY),
    ):
        subprocess.run([*ROS2, "security", verb, folder, *arguments], check=True)
    return folder


@pytest.fixture
def secure(keystore: Path, ros: None) -> Iterator[None]:
    """Enable security for this process and its children, before rclpy is initialised."""
    rclpy.try_shutdown()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("ROS_SECURITY_KEYSTORE", str(keystore))
            environment.setenv("ROS_SECURITY_ENABLE", "true")
            environment.setenv("ROS_SECURITY_STRATEGY", "Enforce")
            try:
                with secure_client():
                    pass
            except RuntimeError as error:
                if "doesn't have the security libraries" not in str(error):
                    raise
                pytest.skip("Fast DDS has been built without security")
            yield
    finally:
        rclpy.init()


@contextmanager
def secure_client() -> Iterator[Client]:
    """Create a client in its own enclave; without one if security is disabled."""
    rclpy.init(args=["--ros-args", "--enclave", "/client"])
    try:
        client = Client()
        yield client
        client.destroy_node()
    finally:
        rclpy.try_shutdown()


def start_secure_node(**parameters: str) -> subprocess.Popen[str]:
    settings = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "ciae_ros.node.cli.panoptic_node", "--ros-args", "--enclave", ENCLAVE, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_node_serves_a_client_with_an_enclave_and_is_hidden_from_others(secure: None, tmp_path: Path) -> None:
    process = start_secure_node(**SMALL, save_folder=str(tmp_path))
    try:
        with secure_client() as client:
            client.wait_until_active(process)
            client.subscribe_to_overlay()
            stamp = 1

            def overlays_arrive() -> bool:
                nonlocal stamp
                stamp += 1
                client.publish(IMAGE, stamp)
                return bool(client.overlays and client.semantics and client.labels and client.segments)

            client.wait(overlays_arrive)
            assert client.state() == "active"
            saved = client.call("save_frame", Trigger, Trigger.Request())
            assert saved.success, saved.message
            client.wait(lambda: f"{ENCLAVE}: node" in client.statuses)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("ROS_SECURITY_ENABLE", "false")
            with secure_client() as stranger:
                until = time.monotonic() + 10.0
                stranger.wait(lambda: stranger.greet() or time.monotonic() > until)
                assert stranger.labels == {}
                assert (stranger.images.get_subscription_count(), stranger.count_publishers(f"{ENCLAVE}/labels")) == (
                    0,
                    0,
                )
        with secure_client() as client:
            client.wait_until_active(process)
    finally:
        code = stop(process)
    assert code == 0, process.stdout and process.stdout.read()


def test_node_cannot_subscribe_outside_of_the_policy(secure: None) -> None:
    process = start_secure_node(**SMALL, cameras="[/elsewhere/image_raw]")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == CONFIGURATION_ERROR, output
    assert "cannot be activated: Failed to create subscription" in output


def test_node_without_an_enclave_does_not_start(secure: None) -> None:
    command = [sys.executable, "-m", "ciae_ros.node.cli.panoptic_node"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == CONFIGURATION_ERROR
    assert "error creating node" in finished.stderr, finished.stderr
