# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Faults of network, device and memory, and their effect on frames and the node."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus

from ciae_ros.node.exit_codes import DEVICE_FAILURE, INTERNAL_ERROR
from ciae_ros.node.model_loading import is_out_of_memory, load_predictor
from tests.node.faulty_node import (
    BROKEN_HEIGHT,
    EXCEPTION,
    HOST_OUT_OF_MEMORY,
    LOST_DEVICE,
    NOT_FINITE,
    OUT_OF_MEMORY,
    load_faulty_predictor,
)
from tests.node.harness import SMALL, Client, delay_network, node_in_this_process, start_node, wait_together


def image(code: int) -> np.ndarray:
    pixels = np.full((60, 80, 3), 90, np.uint8)
    pixels[0, 0, 0] = code
    return pixels


@pytest.mark.parametrize(
    ("code", "reason", "description"),
    [
        (OUT_OF_MEMORY, "out of memory", "injected"),
        (HOST_OUT_OF_MEMORY, "out of memory", "injected"),
        (EXCEPTION, "failed", "injected"),
        (NOT_FINITE, "failed", "the network's output is not finite"),
    ],
)
def test_a_frame_that_fails_is_dropped_and_counted_and_the_next_one_is_segmented(
    client: Client, capfd: pytest.CaptureFixture[str], code: int, reason: str, description: str
) -> None:
    with node_in_this_process(load_faulty_predictor):
        client.wait_for_results()
        for stamp in range(1, 9):
            client.publish(image(code if stamp < 5 else 0), stamp)
            until = time.monotonic() + 0.1
            client.wait(lambda until=until: time.monotonic() > until)
        counts = {f"dropped, {reason}": "4", "unfinished": "0"}
        client.wait(lambda: 8 in client.labels and counts.items() <= client.counts.items())
        assert set(client.labels) == {5, 6, 7, 8}
        status = client.statuses["/panoptic_node: camera image"]
        assert status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
        assert reason in status.message
    lines = [line for line in capfd.readouterr().err.splitlines() if "dropped a frame" in line]
    assert len(lines) == 1
    assert description in lines[0]


def test_one_bad_frame_of_a_batch_takes_no_other_with_it(ros: None) -> None:
    with node_in_this_process(load_faulty_predictor, cameras=["/a", "/b"], max_batch=2) as node:
        clients = [Client(topic=f"/{name}", outputs=f"/panoptic_node/{name}") for name in "ab"]
        for client in clients:
            client.wait_for_results()
        batches: list[int] = []
        delay_network(node, 0.1, batches)
        a, b = clients
        stamps = itertools.count(1)

        def enough_came_together() -> bool:
            stamp = next(stamps)
            a.publish(image(EXCEPTION), stamp)
            b.publish(image(0), stamp)
            until = time.monotonic() + 0.15
            wait_together(clients, lambda: time.monotonic() > until)
            failed = int(a.counts.get("dropped, failed", 0))
            return batches.count(2) > 3 and len(b.labels) > 8 and failed > 8

        wait_together(clients, enough_came_together)
        assert not a.labels
        assert "dropped, failed" not in b.counts
        for client in clients:
            client.destroy_node()


@pytest.mark.parametrize(
    ("bad", "exit_code", "fault"),
    [
        (image(LOST_DEVICE), DEVICE_FAILURE, "the device no longer responds: RuntimeError: CUDA error"),
        (np.zeros((BROKEN_HEIGHT, 80, 3), np.uint8), INTERNAL_ERROR, "internal error: KeyError: 'a mistake"),
    ],
    ids=["lost device", "mistake of ours"],
)
def test_fatal_faults_end_the_process_with_an_exit_code_and_no_wrong_map(
    client: Client, ros: None, bad: np.ndarray, exit_code: int, fault: str
) -> None:
    process = start_node("-m", "tests.node.faulty_node", **SMALL)
    try:
        client.wait_until_active(process)
        # Sequentially, because only the newest of concurrent images reaches the network.
        for stamp in range(1, 60):
            client.publish(bad if stamp < 4 else image(0), stamp)
            until = time.monotonic() + 0.2
            client.wait(lambda until=until: time.monotonic() > until)
            if process.poll() is not None:
                break
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == exit_code, output
    assert fault in output
    assert f"exiting with code {exit_code}; the node should be restarted" in output
    assert "Traceback" not in output
    assert not client.labels
    client.wait_for_fault(fault)


def test_a_frame_that_hangs_is_an_error_in_the_diagnostics(client: Client) -> None:
    with node_in_this_process(diagnostics__stuck_after=0.5) as node:
        client.wait_for_results()
        delay_network(node, 3.0)
        client.publish(image(0), 1)
        client.wait_for_fault("a frame has been in the network for")
        client.wait(lambda: 1 in client.labels)


def test_allocation_errors_are_distinguished_from_others() -> None:
    with pytest.raises(RuntimeError) as from_torch:
        torch.empty(1 << 46)
    with pytest.raises(MemoryError) as from_numpy:
        np.empty(1 << 46)
    assert is_out_of_memory(from_torch.value)
    assert is_out_of_memory(from_numpy.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_more_memory_than_the_device_has_costs_one_frame(client: Client) -> None:
    with node_in_this_process(load_predictor, device="cuda") as node:
        client.wait_for_results()
        predictor = node._predictor
        assert predictor is not None
        healthy = predictor.preprocess

        def greedy(images: list, *arguments: object) -> object:
            if images[0][0][0, 0, 0] == OUT_OF_MEMORY:
                torch.empty(1 << 42, device="cuda")
            return healthy(images, *arguments)  # type: ignore[arg-type]

        predictor.preprocess = greedy  # type: ignore[method-assign, assignment]
        client.publish(image(OUT_OF_MEMORY), 1)
        client.wait(lambda: client.counts.get("dropped, out of memory") == "1")
        client.publish(image(0), 2)
        client.wait(lambda: 2 in client.labels)
