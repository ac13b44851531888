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

"""What camera topics are called."""

from __future__ import annotations

COMPRESSED_SUFFIX = "/compressed"
"""image_transport's name for a topic of JPEG or PNG images beside the raw ones."""


def info_topic_beside(topic: str) -> str:
    """Topic of the sensor_msgs/CameraInfo that belongs to an image topic: beside it, as image_transport has it."""
    folder, slash, _ = topic.removesuffix(COMPRESSED_SUFFIX).rpartition("/")
    return f"{folder}{slash}camera_info"


def namespace_of(topic: str) -> str:
    """The topic without what all camera topics have: /front/image_raw/compressed is front."""
    path = topic.removesuffix(COMPRESSED_SUFFIX).strip("/~")
    folder, _, last = path.rpartition("/")
    return folder if folder and last.startswith("image") else path
