# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Arguments that run `panoptic_3d` in the process of `panoptic_node`."""

WITH_3D = "--panoptic-3d"
"""The ROS arguments of `panoptic_3d` follow, up to `END_OF_3D`."""
END_OF_3D = "--end-of-panoptic-3d"


def split_arguments(args: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments of `panoptic_node`, and those of `panoptic_3d`, of which the first one is `WITH_3D`."""
    start = args.index(WITH_3D)
    end = args.index(END_OF_3D) if END_OF_3D in args[start:] else len(args)
    return [*args[:start], *args[end + 1 :]], args[start + 1 : end]
