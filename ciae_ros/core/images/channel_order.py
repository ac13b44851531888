# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The order of the channels of an image."""

from typing import Literal

ChannelOrder = Literal["rgb", "bgr", "mono"]

ColorOrder = Literal["RGB", "BGR"]
"""The order of the channels of a decoded file."""
