# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `panoptic_node`."""

from __future__ import annotations

import sys

from ciae_ros.inference.host_memory import limit_malloc_arenas
from ciae_ros.node.cli.running import run_nodes
from ciae_ros.node.model_loading import LoadPredictor, load_predictor
from ciae_ros.node.panoptic_node import PanopticNode


def main(args: list[str] | None = None, load: LoadPredictor = load_predictor) -> int:
    """Run the node; see `run_nodes` for the exit codes."""
    limit_malloc_arenas()
    return run_nodes("panoptic_node", args, lambda end: [PanopticNode(load, end)])


if __name__ == "__main__":
    sys.exit(main())
