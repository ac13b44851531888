# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Two network namespaces with a link that is cut: the node in one, its camera and its consumer in the other.

Run as root inside a new network namespace; prints a JSON object with the seconds until results arrived.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy

from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, Client, udp_only

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
HERE, THERE = "camera0", "node0"
"""Ends of the link."""
SHORT_CUT, LONG_CUT = 5.0, 25.0
"""Seconds of the long cut; DDS removes participants after 20 s of silence."""


def main() -> int:
    run("ip", "link", "add", HERE, "type", "veth", "peer", "name", THERE)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    # Shared memory ignores network namespaces.
    with udp_only():
        return cut_and_measure()


def cut_and_measure() -> int:
    settings = [argument for name, value in SMALL.items() for argument in ("-p", f"{name}:={value}")]
    node = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-m", "ciae_ros.node.cli.panoptic_node", "--ros-args", *settings],
        text=True,
    )
    try:
        wait_for_namespace(node.pid)
        run("ip", "link", "set", THERE, "netns", str(node.pid))
        bring_up(HERE, "10.9.0.1/24")
        bring_up(THERE, "10.9.0.2/24", "nsenter", "--target", str(node.pid), "--net")
        print(json.dumps(measure(node)))
    finally:
        stop(node)
    return 0


def wait_for_namespace(pid: int, timeout: float = 30.0) -> None:
    """Wait until the process has left this network namespace; the link would otherwise stay in this one."""
    own, end = Path("/proc/self/ns/net").readlink(), time.monotonic() + timeout
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        if time.monotonic() > end:
            raise TimeoutError(f"the node had no network namespace of its own after {timeout} s")
        time.sleep(0.05)


def measure(node: subprocess.Popen[str]) -> dict[str, float]:
    rclpy.init()
    client = Client()
    client.wait_until_active(node)
    seconds = {"before": seconds_until_result(client)}
    for name, length in (("short", SHORT_CUT), ("long", LONG_CUT)):
        run("ip", "link", "set", HERE, "down")
        client.labels.clear()
        ask_for(client, length)
        # Results from before the cut may still arrive.
        seconds[f"answers during the {name} cut"] = len(client.labels)
        bring_up(HERE, "")
        client.labels.clear()
        seconds[f"after the {name} cut"] = seconds_until_result(client)
    client.destroy_node()
    rclpy.try_shutdown()
    return seconds


def seconds_until_result(client: Client, timeout: float = 60.0) -> float:
    """Return the seconds until the result of an image that is sent from now on."""
    start = time.time()
    client.wait(lambda: ask_for(client, 0.1) and any(stamp > start * 1e9 for stamp in client.labels), timeout)
    return round(time.time() - start, 2)


def ask_for(client: Client, seconds: float) -> bool:
    """Send images at 10 Hz."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.publish(IMAGE, time.time_ns())
        until = time.monotonic() + 0.1
        client.wait(lambda until=until: time.monotonic() > until)
    return True


def bring_up(interface: str, address: str, *within: str) -> None:
    if address:
        run(*within, "ip", "address", "add", address, "dev", interface)
        run(*within, "ip", "link", "set", "lo", "up")
    run(*within, "ip", "link", "set", interface, "up")
    # Disabling the interface has removed the route.
    run(*within, "ip", "route", "replace", "224.0.0.0/4", "dev", interface)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
