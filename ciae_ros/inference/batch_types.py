# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
