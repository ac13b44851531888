# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Start `panoptic_node` on one or several cameras, and restart it after a crash."""

import os
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.events import matches_action
from launch.events.process import ProcessExited, ShutdownProcess
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch.utilities.type_utils import perform_typed_substitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from ciae_ros.node.exit_codes import NO_RESTART

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "panoptic.yaml"])
FASTDDS_PROFILE = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "fastdds.xml"])
# Jazzy's Fast DDS knows the older name.
PROFILE_VARIABLE = ("FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS") + "_DEFAULT_PROFILES_FILE"

MIN_RESTART_DELAY = 0.1
"""Minimum seconds before a restart, in which launch processes the exit of the node and can still cancel the restart."""

PARAMETERS: dict[str, tuple[str, Any, str]] = {
    "cameras": ("cameras", list[str], "Topics of several cameras, as [/front/image_raw, /rear/image_raw/compressed]."),
    "camera_names": ("camera_names", list[str], "Namespaces of the cameras' outputs."),
    "compressed": ("compressed", bool, "All topics are compressed, regardless of their names."),
    "model": (
        "model",
        str,
        "Name of a shipped model, path of a checkpoint or .onnx file, or hf://OWNER/NAME or a folder in the layout of "
        "the Hugging Face hub.",
    ),
    "classes": ("classes", list[str], "Names of the categories to publish, as [car, road]."),
    "class_map": ("class_map", list[str], "Categories to merge, as ['vehicle = car, bus', 'ground = road, path']."),
    "backend": ("backend", str, "Backend of the network: auto, torch, onnx or tensorrt."),
    "device": ("device", str, "auto, cpu, cuda or cuda:N."),
    "overlay_opacity": ("overlay.opacity", float, "Opacity of the colours in ~/overlay, 0 to 1."),
    "use_sim_time": ("use_sim_time", bool, "Use the time of /clock (bag replay)."),
    "autostart": ("autostart", bool, "Configure and activate at start."),
}
"""Parameter, type and description of the arguments that set a parameter of the node."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file", default_value=DEFAULT_PARAMETERS, description="Parameters of the node (YAML)."
    ),
    DeclareLaunchArgument("image_topic", default_value="", description="Topic of a single camera."),
    *(
        DeclareLaunchArgument(argument, default_value="", description=f"{text} Default: as in params_file.")
        for argument, (_, _, text) in PARAMETERS.items()
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("enclave", default_value="", description="SROS2 enclave of the node."),
    DeclareLaunchArgument("respawn", default_value="true", description="Restart the node after a crash."),
    DeclareLaunchArgument("respawn_delay", default_value="1.0", description="Seconds before a restart."),
]


def generate_launch_description() -> LaunchDescription:
    """Describe the node and the configuration of the middleware for images."""
    # By default Fast DDS loses images between processes (see the file).
    profile = SetEnvironmentVariable(
        PROFILE_VARIABLE, EnvironmentVariable(PROFILE_VARIABLE, default_value=FASTDDS_PROFILE)
    )
    return LaunchDescription([*ARGUMENTS, profile, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[object]:
    parameters, enclave = _chosen_parameters(context), _argument(context, "enclave")
    node = Node(
        package="ciae_ros",
        executable="panoptic_node",
        name="panoptic_node",
        namespace=_argument(context, "namespace"),
        output="screen",
        parameters=[_argument(context, "params_file"), *([parameters] if parameters else [])],
        ros_arguments=["--enclave", enclave] if enclave else [],
        # A restart preserves namespace, remappings and environment of the node's group.
        respawn=_argument(context, "respawn", bool),
        respawn_delay=max(_argument(context, "respawn_delay", float), MIN_RESTART_DELAY),
        on_exit=_after_exit if _argument(context, "respawn", bool) else None,
    )
    return [node]


def _after_exit(event: ProcessExited, context: LaunchContext) -> list[object]:
    """Announce the restart, or cancel it after a normal exit or a configuration error."""
    if context.is_shutdown:
        return []
    if event.returncode in NO_RESTART:
        return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action)))]
    return [LogInfo(msg=f"panoptic_node exited with code {event.returncode}; restarting it")]


def _chosen_parameters(context: LaunchContext) -> dict[str, object]:
    """Return the parameters whose arguments are set."""
    chosen = {
        parameter: _argument(context, argument, kind)
        for argument, (parameter, kind, _) in PARAMETERS.items()
        if _argument(context, argument)
    }
    if "cameras" not in chosen and (topic := _argument(context, "image_topic")):
        chosen["cameras"] = [topic]
    return chosen


def _argument(context: LaunchContext, name: str, kind: Any = str) -> Any:
    return perform_typed_substitution(context, [LaunchConfiguration(name)], kind)
