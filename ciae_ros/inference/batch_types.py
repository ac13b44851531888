# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What goes into a pipeline and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from ciae_ros.inference.preprocessing import ChannelOrder
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.stage_times import StageTimes

Images = Sequence[tuple[np.ndarray, ChannelOrder]]
"""A batch, each image as `Predictor.predict` takes it."""

Answer = Future[tuple[list[PanopticResult], StageTimes]]
"""The results in the order of the images, and the time of each stage."""
