# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Point the CMake files of the ROS 2 wheels at this environment's Python and NumPy headers.

The wheels' exported targets name the include folders of the machine that built them
(``/opt/python/cp3xx-cp3xx/...``). CMake refuses targets with include folders that do not exist, so no interface
package could be built against them. Run with the environment's own Python; running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy

NUMPY_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_?core/include")
PYTHON_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")


def relocate(cmake_file: Path) -> bool:
    """Rewrite a CMake file; returns whether it contained a folder of the build machine."""
    text = cmake_file.read_text()
    relocated = NUMPY_INCLUDE.sub(numpy.get_include(), text)
    relocated = PYTHON_INCLUDE.sub(sysconfig.get_path("include"), relocated)
    if relocated == text:
        return False
    # Replaced rather than modified, because installers may have hard-linked the file from their cache.
    replacement = cmake_file.with_suffix(".relocated")
    replacement.write_text(relocated)
    replacement.replace(cmake_file)
    return True


if __name__ == "__main__":
    changed = sum(relocate(path) for path in (Path(sys.prefix) / "share").glob("*/cmake/*.cmake"))
    print(f"relocated {changed} CMake files")
