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

"""Exit codes of `panoptic_node`, those of sysexits.h, and which of them make a new start worthwhile."""

from __future__ import annotations

import os

ORDERLY_END = os.EX_OK
"""It was interrupted, or ROS was shut down."""

REFUSAL = os.EX_CONFIG
"""A parameter, the model, the device, a name or a right does not fit (78): a new start would end in the same way."""

INTERNAL_ERROR = os.EX_SOFTWARE
"""An exception that nobody expected (70)."""

DEVICE_FAILURE = os.EX_TEMPFAIL
"""The device is lost, or did not answer within its time (75)."""

FINAL = frozenset({ORDERLY_END, REFUSAL})
"""After all other codes, also those of signals and of Python itself, the node is to be started again."""
