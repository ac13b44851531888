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

"""Whether kernels written in Triton can run on a device."""

from __future__ import annotations

import warnings
from functools import cache

import torch


def runs_triton(device: torch.device) -> bool:
    """Is it a CUDA device for which Triton is installed and compiles?

    The first call for a device runs a small kernel there: it should not be made while a CUDA graph is captured.
    """
    return device.type == "cuda" and _compiles(device)


@cache
def _compiles(device: torch.device) -> bool:
    try:
        from ciae_ros.inference.triton_look_up import look_up  # noqa: PLC0415
    except ImportError:
        return False
    try:
        zeros = torch.zeros(1, 1, dtype=torch.int16, device=device)
        look_up(zeros[0], zeros)
    except Exception as error:  # Anything from a missing C compiler to a device that is too old.
        warnings.warn(f"Triton is installed but cannot be used on {device}, fusing is slower: {error}", stacklevel=2)
        return False
    return True
