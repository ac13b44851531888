# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The executable `image_player`."""

from __future__ import annotations

import sys

import rclpy

from ciae_ros.camera.frames import SourceError
from ciae_ros.core.command_errors import report_failure
from ciae_ros.node.cli.startup import REFUSALS, refuse
from ciae_ros.node.image_player import ImagePlayer
from ciae_ros.node.lifecycle.signals import until_interrupted


def main(args: list[str] | None = None) -> int:
    """Play until the end or an interruption.

    Returns:
        0; 1 if the source cannot be played; `CONFIGURATION_ERROR` if an argument or a parameter is invalid.
    """
    player: ImagePlayer | None = None
    try:
        rclpy.init(args=args)
        player = ImagePlayer()
        with until_interrupted():
            player.play()
    except REFUSALS as error:
        return refuse("image_player", error)
    except SourceError as error:
        return report_failure("image_player", error)
    finally:
        if player is not None:
            player.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
