# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `panoptic_node`, also with `panoptic_3d` in the same process."""

from __future__ import annotations

import sys

from ciae_ros.inference.host_memory import limit_malloc_arenas
from ciae_ros.node.cli.arguments import WITH_3D, split_arguments
from ciae_ros.node.cli.running import run_nodes
from ciae_ros.node.model_loading import LoadPredictor, load_predictor
from ciae_ros.node.panoptic_3d.same_process import create_both
from ciae_ros.node.panoptic_node import PanopticNode


def main(args: list[str] | None = None, load: LoadPredictor = load_predictor) -> int:
    """Run the node; see `run_nodes` for the exit codes."""
    limit_malloc_arenas()
    args = sys.argv if args is None else args
    if WITH_3D not in args:
        return run_nodes("panoptic_node", args, lambda end: [PanopticNode(load, end)])
    own, arguments_3d = split_arguments(args)
    return run_nodes("panoptic_node", own, lambda end: create_both(load, end, arguments_3d))


if __name__ == "__main__":
    sys.exit(main())
