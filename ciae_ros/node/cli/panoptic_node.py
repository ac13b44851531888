# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `panoptic_node`."""

from __future__ import annotations

import sys
import threading
import traceback

import rclpy

from ciae_ros.inference.host_memory import limit_malloc_arenas
from ciae_ros.node.cli.startup import REFUSALS, refuse
from ciae_ros.node.errors import DeviceHungError, describe_error
from ciae_ros.node.exit_codes import DEVICE_FAILURE, INTERNAL_ERROR, NORMAL_EXIT
from ciae_ros.node.model_loading import LoadPredictor, load_predictor
from ciae_ros.node.panoptic_node import PanopticNode
from ciae_ros.node.parameters.values import read_parameters
from ciae_ros.node.process_end import SHUTDOWN_TIMEOUT, end_process, end_process_after, serve
from ciae_ros.node.signals import until_interrupted


def main(args: list[str] | None = None, load: LoadPredictor = load_predictor) -> int:
    """Run the node until it is interrupted, ROS shuts down, or it fails.

    Returns:
        `NORMAL_EXIT`, or `CONFIGURATION_ERROR` if an argument, a parameter, the model or the device cannot be used.
        After a failure of the device or of the node itself the process ends here, with `DEVICE_FAILURE` or
        `INTERNAL_ERROR`.
    """
    limit_malloc_arenas()
    node: PanopticNode | None = None
    executor: threading.Thread | None = None
    exit_code = NORMAL_EXIT
    try:
        rclpy.init(args=args)
        with until_interrupted():
            node = PanopticNode(load)
            if read_parameters(node).autostart:
                node.start()
            executor = serve(node, node.end, node.fail)
            node.end.wait()
    except REFUSALS as error:
        exit_code = refuse("panoptic_node", error)
    except Exception:
        traceback.print_exc()
        end_process(INTERNAL_ERROR)
    if node is not None:
        exit_code = _leave(node) or exit_code
    rclpy.try_shutdown()
    if executor is not None:
        executor.join(SHUTDOWN_TIMEOUT)
        if executor.is_alive():
            end_process(exit_code)
    return exit_code


def _leave(node: PanopticNode) -> int:
    """Close the node and leave the ROS graph in bounded time; returns the exit code, or ends the process with it."""
    if node.end.fault:
        node.flush_responses()
    elif not node.is_configuring:
        try:
            node.close_after_transition()
        except DeviceHungError as error:
            node.fail(DEVICE_FAILURE, str(error))
        except Exception as error:
            node.fail(INTERNAL_ERROR, f"internal error while ending: {describe_error(error)}")
    # While the model is loading there is nothing to close, and loading cannot be interrupted.
    may_hang = bool(node.end.fault) or node.is_configuring or node.is_saving
    if may_hang:
        end_process_after(SHUTDOWN_TIMEOUT, node.end.exit_code)
    node.destroy_node()
    rclpy.try_shutdown()
    if may_hang:
        end_process(node.end.exit_code)
    return node.end.exit_code


if __name__ == "__main__":
    sys.exit(main())
