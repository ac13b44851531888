"""Batches on their way through upload, network and download, one behind the other, each stage on a lane of its own.

While one batch is in the network, the next one is uploaded and preprocessed and the one before is downloaded.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ciae_ros.inference.host_slot import HostSlot
from ciae_ros.inference.lanes import ThreadLane
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.preprocessing import ChannelOrder
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.inference.turn_estimate import TurnEstimate

DEPTH = 3
"""Batches on their way at once: one on each lane."""

Images = Sequence[tuple[np.ndarray, ChannelOrder]]
Answer = Future[tuple[list[PanopticResult], StageTimes]]


class StreamPipeline:
    """Overlaps the stages of a `Predictor`. Any thread may submit; batches come out in the order of submission."""

    def __init__(self, predictor: Predictor, depth: int = DEPTH) -> None:
        """Begin, with nothing on its way.

        Args:
            predictor: whose `settings` at the moment of submission count for a batch.
            depth: most batches on their way at once; each has buffers of its own.
        """
        self._predictor = predictor
        self._upload, self._compute, self._download = (ThreadLane(name) for name in ("upload", "network", "download"))
        self._lanes = self._upload, self._compute, self._download
        self._free: queue.SimpleQueue[HostSlot] = queue.SimpleQueue()
        for _ in range(depth):
            self._free.put(HostSlot(predictor, *(lane.mark() for lane in self._lanes)))
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
                slot.load(images, geometries, self._predictor.settings, answer)
                self._upload.run(slot.upload, slot.uploaded)
                self._compute.run(slot.compute, slot.computed, after=slot.uploaded)
                self._download.run(slot.download, slot.downloaded, after=slot.computed)
            except Exception as error:
                self._abandon(slot)
                answer.set_exception(error)
            else:
                self._finisher.submit(self._finish, slot, answer)
        return answer

    def seconds_until_needed(self, preparation: float) -> float:
        """How long to wait before taking a frame that is to be ready just when the network gets free.

        Args:
            preparation: seconds that the frame needs before the network can begin with it.
        """
        return self._turns.seconds_until_free() - preparation

    def busy_for(self) -> float:
        """Seconds for which the oldest batch has been on its way; 0 if there is none."""
        return self._turns.busy_for()

    def close(self) -> None:
        """Wait for all batches and end."""
        for lane in self._lanes:
            lane.close()
        self._finisher.shutdown()

    def _finish(self, slot: HostSlot, answer: Answer) -> None:
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

    def _abandon(self, slot: HostSlot) -> None:
        """After an error in the middle of a submission: nothing of it may run any more when the slot is used again."""
        for lane in self._lanes:
            with suppress(RuntimeError):
                lane.drain()
        slot.clear()
        self._turns.end(None)
        self._free.put(slot)
