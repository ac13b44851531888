# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executables of the package: `panoptic_node` and `image_player`."""

import sys
import tempfile

from ciae_ros.node.exit_codes import CONFIGURATION_ERROR

try:
    tempfile.gettempdir()
except FileNotFoundError:
    # Checked here because the modules of the executables import PyTorch, which needs the folder.
    print("ciae_ros: no folder for temporary files can be written: set TMPDIR, or mount /tmp", file=sys.stderr)
    sys.exit(CONFIGURATION_ERROR)
