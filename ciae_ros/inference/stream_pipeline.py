# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Batches on their way through upload, network and download, one behind the other, each stage on a lane of its own.

While one batch is in the network, the next one is uploaded and preprocessed and the one before is downloaded.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch

from ciae_ros.inference.batch_types import Answer, Images
from ciae_ros.inference.device_slot import DeviceSlot
from ciae_ros.inference.host_slot import HostSlot
from ciae_ros.inference.lanes import Lane, StreamLane, ThreadLane
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.preprocessing import ChannelOrder
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.inference.turn_estimate import TurnEstimate

DEPTH = 3
"""Batches on their way at once: one on each lane."""

STAGES = "upload", "network", "download"

Slot = HostSlot | DeviceSlot


class WarmUp(NamedTuple):
    """What preparing for a kind of batch found."""

    way: str
    """How such batches run, for people: "CUDA graph (eager)", or "eager" with the reason on a CUDA device."""
    seconds: float
    """That the preparation took."""
    seconds_per_batch: float
    """On a CUDA device with the pipeline full, on a CPU alone."""


class StreamPipeline:
    """Overlaps the stages of a `Predictor`. Any thread may submit; batches come out in the order of submission."""

    def __init__(self, predictor: Predictor, depth: int = DEPTH) -> None:
        """Begin, with nothing on its way.

        Args:
            predictor: whose `settings` at the moment of submission count for a batch.
            depth: most batches on their way at once; each has buffers of its own.
        """
        self._predictor = predictor
        self._lanes, slots = (
            _device_slots(predictor, depth) if predictor.device.type == "cuda" else _host_slots(predictor, depth)
        )
        self._depth = depth
        # Each slot on a device has buffers and a graph of its own; on a CPU there is nothing to prepare in a slot.
        self._warm_up_batches = depth if predictor.device.type == "cuda" else 1
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._order = threading.Lock()
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="ciae-result")
        self._turns = TurnEstimate()

    def submit(self, images: Images) -> Answer:
        """Begin with a batch, as `Predictor.predict_batch` takes them; waits while `depth` others are on their way.

        Returns:
            What becomes of it: the results in the order of the images and the time of each stage, or the error of any
            stage, which concerns no other batch. On a CPU it can be cancelled until the network begins with it.

        Raises:
            ValueError: an array is not an image, or the padded sizes differ.
        """
        geometries = self._predictor.check_batch(images)
        slot = self._free.get()
        answer: Answer = Future()
        with self._order:
            self._turns.begin()
            try:
                start = time.perf_counter()
                slot.load(images, geometries, self._predictor.settings, answer)
                slot.loading = time.perf_counter() - start
                slot.uploaded.run(slot.upload)
                slot.computed.run(slot.compute, after=slot.uploaded)
                slot.downloaded.run(slot.download, after=slot.computed)
            except Exception as error:
                self._abandon(slot)
                answer.set_exception(error)
            else:
                self._finisher.submit(self._finish, slot, answer)
        return answer

    def warm_up(self, height: int, width: int, batch_size: int = 1) -> WarmUp:
        """Prepare for batches of images of a size, while nothing is on its way: choose kernels, reserve memory.

        On a CUDA device the second stage is captured into graphs.
        """
        image: tuple[np.ndarray, ChannelOrder] = (np.full((height, width, 3), 127, np.uint8), "rgb")
        start = time.perf_counter()
        # The first round compiles and chooses kernels, the second one reserves the memory.
        with torch.backends.cudnn.flags(benchmark=True):
            for _ in range(2):
                self._run_for_warm_up([image] * batch_size)
        slots = [self._free.get() for _ in range(self._depth)]
        ways = {slot.capture() for slot in slots}
        for slot in slots:
            self._free.put(slot)
        prepared = time.perf_counter()
        seconds_per_batch = min(self._run_for_warm_up([image] * batch_size) for _ in range(2))
        return WarmUp("; ".join(sorted(ways)), prepared - start, seconds_per_batch)

    def _run_for_warm_up(self, images: Images) -> float:
        start = time.perf_counter()
        for answer in [self.submit(images) for _ in range(self._warm_up_batches)]:
            answer.result()
        return (time.perf_counter() - start) / self._warm_up_batches

    def wait_until_needed(self, preparation: float, stopping: threading.Event) -> None:
        """Wait for the moment to take a frame that is to be ready just when the network gets free.

        Args:
            preparation: seconds that the frame needs before the network can begin with it.
            stopping: ends the waiting when it is set and `wake` is called.
        """
        self._turns.wait_until_free(preparation, stopping)

    def wake(self) -> None:
        """Make a thread that is in `wait_until_needed` check whether it is to stop."""
        self._turns.wake()

    def busy_for(self) -> float:
        """Seconds for which the oldest batch has been on its way; 0 if there is none."""
        return self._turns.busy_for()

    def forget(self) -> None:
        """Give back what the warm-ups have reserved, while nothing is on its way."""
        slots = [self._free.get() for _ in range(self._depth)]
        for slot in slots:
            slot.forget()
            self._free.put(slot)

    def close(self) -> None:
        """Wait for all batches and end."""
        for lane in self._lanes:
            # An error of the device was told to the batches that met it.
            with suppress(RuntimeError):
                lane.close()
        self._finisher.shutdown()

    def _finish(self, slot: Slot, answer: Answer) -> None:
        """Wait for a batch's results, free its slot, and hand them over."""
        outcome: tuple[list[PanopticResult], StageTimes] | Exception
        try:
            slot.downloaded.wait()
            start = time.perf_counter()
            results = slot.results()
            outcome = results, slot.times(time.perf_counter() - start)
        except Exception as error:
            outcome = error
        slot.clear()
        self._turns.end(None if isinstance(outcome, Exception) else outcome[1])
        self._free.put(slot)
        if answer.cancelled() or not (answer.running() or answer.set_running_or_notify_cancel()):
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _abandon(self, slot: Slot) -> None:
        """After an error in the middle of a submission: nothing of it may run any more when the slot is used again."""
        for lane in self._lanes:
            with suppress(RuntimeError):
                lane.drain()
        slot.clear()
        self._turns.end(None)
        self._free.put(slot)


def _host_slots(predictor: Predictor, depth: int) -> tuple[list[Lane], list[Slot]]:
    lanes = [ThreadLane(stage) for stage in STAGES]
    return [*lanes], [HostSlot(predictor, *(lane.mark() for lane in lanes)) for _ in range(depth)]


def _device_slots(predictor: Predictor, depth: int) -> tuple[list[Lane], list[Slot]]:
    lanes = [StreamLane(predictor.device) for _ in STAGES]
    # Graphs that are replayed one after the other may have their memory in common.
    pool = torch.cuda.graph_pool_handle()
    return [*lanes], [DeviceSlot(predictor, pool, *(lane.mark() for lane in lanes)) for _ in range(depth)]
