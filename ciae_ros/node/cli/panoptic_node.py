# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `panoptic_node`, also with `panoptic_3d` in the same process."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from ciae_ros.node.cli.arguments import WITH_3D, split_arguments

if TYPE_CHECKING:
    from ciae_ros.node.model_loading import LoadPredictor

# ruff: noqa: PLC0415


def main(args: list[str] | None = None, load: LoadPredictor | None = None) -> int:
    """Run the node; see `run_nodes` for the exit codes.

    Args:
        args: arguments of the command line; None: those of the process.
        load: creates the predictor; None: the model that the parameters specify.
    """
    args = sys.argv if args is None else args
    # The imports create a million objects that live as long as the process: looking for garbage among them takes a
    # fifth of their time, and would take time again and again while the node runs.
    gc.disable()
    from ciae_ros.inference.host_memory import limit_malloc_arenas
    from ciae_ros.node.cli.running import run_nodes
    from ciae_ros.node.model_loading import load_predictor
    from ciae_ros.node.panoptic_node import PanopticNode

    gc.freeze()
    gc.enable()
    limit_malloc_arenas()
    chosen = load or load_predictor
    if WITH_3D not in args:
        return run_nodes("panoptic_node", args, lambda end: [PanopticNode(chosen, end)])
    from ciae_ros.node.panoptic_3d.same_process import create_both

    own, arguments_3d = split_arguments(args)
    return run_nodes("panoptic_node", own, lambda end: create_both(chosen, end, arguments_3d))


if __name__ == "__main__":
    sys.exit(main())
