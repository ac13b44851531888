# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The stream pipeline: upload, network and download of successive batches overlap, each stage on its own executor.

While one batch is in the network, the next one is uploaded and preprocessed and the previous one is downloaded.
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

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.pipeline.batch import BatchFuture, Images, InFlightBatch
from ciae_ros.inference.pipeline.cuda_batch import CudaBatch
from ciae_ros.inference.pipeline.cuda_buffers import GraphPool
from ciae_ros.inference.pipeline.host_batch import HostBatch
from ciae_ros.inference.pipeline.network_availability import NetworkAvailability
from ciae_ros.inference.pipeline.stage_executors import StageExecutor, StreamExecutor, ThreadExecutor
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.self_test import SelfTestError, fault_of, textured_image, with_many_instances
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import StageTimes

DEPTH = 3
"""Default maximum number of batches in flight: one for each stage."""

STAGES = "upload", "network", "download"

CHECKED_IMAGES = 2
"""Images of a batch that are checked in the self-test; more would only take longer."""


class WarmUp(NamedTuple):
    """The outcome of a warm-up for one image size and batch size."""

    execution_mode: str
    """Human-readable: "CUDA graph (eager)", or "eager", on a CUDA device with the reason."""
    seconds: float
    """Duration of the preparation."""
    seconds_per_batch: float
    """Time per batch: with a full pipeline on a CUDA device, for a single batch on a CPU."""


class StreamPipeline:
    """Overlaps the stages of a `Predictor`. Any thread may submit; batches complete in the order of submission."""

    def __init__(self, predictor: Predictor, depth: int = DEPTH) -> None:
        """Create the executors.

        Args:
            predictor: its `settings` at the time of submission apply to a batch.
            depth: maximum number of batches in flight; each has its own buffers.
        """
        self._predictor = predictor
        self._is_cuda = predictor.device.type == "cuda"
        make = _cuda_batches if self._is_cuda else _host_batches
        self._executors, batches = make(predictor, depth)
        self._depth = depth
        # On a CUDA device every in-flight batch has buffers and graphs of its own; a CPU has nothing to prepare.
        self._warm_up_batches = depth if self._is_cuda else 1
        self._free: queue.SimpleQueue[InFlightBatch] = queue.SimpleQueue()
        for batch in batches:
            self._free.put(batch)
        self._submission_lock = threading.Lock()
        self._result_thread = ThreadPoolExecutor(1, thread_name_prefix="ciae-result")
        self._availability = NetworkAvailability()

    def submit(self, images: Images, settings: InferenceSettings | None = None) -> BatchFuture:
        """Submit a batch, as `Predictor.predict_batch` takes it; blocks while `depth` batches are in flight.

        Args:
            images: the images.
            settings: thresholds; those of the predictor if None.

        Returns:
            A future of the results in the order of the images and the time of each stage, or of the error of any stage,
            which affects no other batch. On a CPU it can be cancelled until the network starts with it.

        Raises:
            ValueError: an array is not an image, or the padded sizes differ.
        """
        geometries = self._predictor.check_batch(images)
        batch = self._free.get()
        settings = self._predictor.settings if settings is None else settings
        future: BatchFuture = Future()
        with self._submission_lock:
            self._availability.on_submit()
            try:
                start = time.perf_counter()
                batch.load(images, geometries, settings, future)
                batch.load_seconds = time.perf_counter() - start
                batch.upload_task.run(batch.upload)
                batch.compute_task.run(batch.compute, after=batch.upload_task)
                batch.download_task.run(batch.download, after=batch.compute_task)
            except Exception as error:
                self._discard(batch)
                future.set_exception(error)
            else:
                self._result_thread.submit(self._complete, batch, future)
        return future

    def warm_up(self, height: int, width: int, batch_size: int = 1) -> WarmUp:
        """Prepare for batches of one image size while no batch is in flight: choose kernels, reserve memory.

        On a CUDA device the second stage is captured into graphs, and the results are checked (`self_test`). If they
        are wrong, the device uses PyTorch's operators from then on, without graphs.

        Raises:
            ValueError: the network does not support images of this size, or its output is not finite.
            SelfTestError: the results are wrong with PyTorch's operators, too.
        """
        image = textured_image(height, width)
        # The images of a batch differ, so that the self-test notices if they are confused.
        images: Images = [(np.roll(image, index * width // batch_size, axis=1), "rgb") for index in range(batch_size)]
        start = time.perf_counter()
        mode, fault = self._prepare_and_check(images)
        if fault and self._predictor.has_fixed_shapes:
            self._predictor.use_plain_operators(fault)
            self.release_buffers()
            mode, fault = self._prepare_and_check(images)
        if fault:
            raise SelfTestError(f"{fault}: check the driver and the version of PyTorch, or set device to cpu")
        prepared = time.perf_counter()
        seconds_per_batch = min(self._run_warm_up_batches(images) for _ in range(2))
        return WarmUp(mode, prepared - start, seconds_per_batch)

    def _prepare_and_check(self, images: Images) -> tuple[str, str]:
        """Return the execution mode of batches like this one, and on a CUDA device the fault of their results."""
        if not self._is_cuda:
            return self._prepare(images), ""
        what = "PyTorch"
        if self._predictor.has_fixed_shapes:
            what = "a CUDA graph with Triton" if self._predictor.supports_graph_capture else "Triton"
        what += f" on {self._predictor.device_name}"
        try:
            return self._prepare(images), self._self_test(images, what)
        except (CheckpointError, MemoryError, ValueError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # Triton's exceptions and PyTorch's have no common base class.
            return "", f"{what} fails: {' '.join(str(error).split())}"

    def _prepare(self, images: Images) -> str:
        """Prepare for batches like this one; returns their execution mode."""
        height, width = images[0][0].shape[:2]
        self._predictor.prepare(height, width)
        # The first round compiles kernels, on a CUDA device the second one reserves the memory. cuDNN chooses by its
        # heuristics, as for later batches: a graph can contain only kernels that have run before, and trials take up to
        # half a minute.
        for _ in range(2 if self._is_cuda else 1):
            self._run_warm_up_batches(images)
        batches = [self._free.get() for _ in range(self._depth)]
        try:
            return "; ".join(sorted({batch.capture() for batch in batches}))
        finally:
            for batch in batches:
                self._free.put(batch)

    def _self_test(self, images: Images, what: str) -> str:
        """Return how the results of a batch differ from plain ones, human-readable; empty if they agree."""
        default = self._predictor.settings
        for settings in (default, with_many_instances(default)):
            expected = self._predictor.plain_results(images, settings, CHECKED_IMAGES)
            # Each of these batches has a graph of its own.
            for future in [self.submit(images, settings) for _ in range(self._warm_up_batches)]:
                if fault := fault_of(future.result()[0][:CHECKED_IMAGES], expected, what):
                    return fault
        return ""

    def _run_warm_up_batches(self, images: Images) -> float:
        start = time.perf_counter()
        for future in [self.submit(images) for _ in range(self._warm_up_batches)]:
            future.result()
        return (time.perf_counter() - start) / self._warm_up_batches

    def wait_until_needed(self, preparation: float, stopping: threading.Event) -> None:
        """Wait for the time to take a frame so that it is ready just when the network becomes idle.

        Args:
            preparation: seconds that the frame needs before the network can start with it.
            stopping: ends the wait when it is set and `wake` is called afterwards.
        """
        self._availability.wait_until_idle(preparation, stopping)

    def wake(self) -> None:
        """Make a thread in `wait_until_needed` check whether it should stop."""
        self._availability.wake()

    def busy_seconds(self) -> float:
        """Return how long the oldest batch has been in flight; 0 if there is none."""
        return self._availability.busy_seconds()

    def release_buffers(self) -> None:
        """Free the memory that warm-ups have reserved, while no batch is in flight."""
        batches = [self._free.get() for _ in range(self._depth)]
        for batch in batches:
            batch.release_buffers()
            self._free.put(batch)

    def close(self) -> None:
        """Wait for all batches and stop."""
        for executor in self._executors:
            # Errors of the device have been reported to the batches that met them.
            with suppress(RuntimeError):
                executor.close()
        self._result_thread.shutdown()

    def _complete(self, batch: InFlightBatch, future: BatchFuture) -> None:
        """Wait for a batch's results, free its buffers, and set its future."""
        outcome: tuple[list[PanopticResult], StageTimes] | Exception
        try:
            batch.download_task.wait()
            start = time.perf_counter()
            results = batch.results()
            outcome = results, batch.stage_times(time.perf_counter() - start)
        except Exception as error:
            outcome = error
        batch.clear()
        self._availability.on_complete(None if isinstance(outcome, Exception) else outcome[1])
        self._free.put(batch)
        if future.cancelled() or not (future.running() or future.set_running_or_notify_cancel()):
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _discard(self, batch: InFlightBatch) -> None:
        """Clean up after a failed submission: none of its tasks may still run when its buffers are reused."""
        for executor in self._executors:
            with suppress(RuntimeError):
                executor.drain()
        batch.clear()
        self._availability.on_complete(None)
        self._free.put(batch)


def _host_batches(predictor: Predictor, depth: int) -> tuple[list[StageExecutor], list[InFlightBatch]]:
    executors = [ThreadExecutor(stage) for stage in STAGES]
    return [*executors], [HostBatch(predictor, *(executor.task() for executor in executors)) for _ in range(depth)]


def _cuda_batches(predictor: Predictor, depth: int) -> tuple[list[StageExecutor], list[InFlightBatch]]:
    # These streams do not wait for the default one, on which the network was moved to the device.
    torch.cuda.synchronize(predictor.device)
    executors = [StreamExecutor(predictor.device) for _ in STAGES]
    pool = GraphPool()
    return [*executors], [
        CudaBatch(predictor, pool, *(executor.task() for executor in executors)) for _ in range(depth)
    ]
