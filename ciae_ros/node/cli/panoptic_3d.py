# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `panoptic_3d`."""

from __future__ import annotations

import sys

from ciae_ros.node.cli.running import run_nodes
from ciae_ros.node.panoptic_3d.node import Panoptic3dNode


def main(args: list[str] | None = None) -> int:
    """Run the node; see `run_nodes` for the exit codes."""
    return run_nodes("panoptic_3d", args, lambda end: [Panoptic3dNode(end)])


if __name__ == "__main__":
    sys.exit(main())
