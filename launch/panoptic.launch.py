# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Start `panoptic_node` on one or several cameras, and start it again if it crashes."""

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

from ciae_ros.node.exit_codes import FINAL

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "panoptic.yaml"])
FASTDDS_PROFILE = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "fastdds.xml"])
# Jazzy's Fast DDS knows the older name.
PROFILE_VARIABLE = ("FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS") + "_DEFAULT_PROFILES_FILE"

LEAST_DELAY = 0.1
"""Seconds in which launch hears that a process has ended, and can still be kept from starting it again."""

PARAMETERS: dict[str, tuple[str, Any, str]] = {
    "cameras": ("cameras", list[str], "Topics of several cameras, as [/front/image_raw, /rear/image_raw/compressed]."),
    "camera_names": ("camera_names", list[str], "Namespaces of the cameras' outputs."),
    "compressed": ("compressed", bool, "All images are compressed, whatever their topics are called."),
    "model": ("model", str, "Name of a shipped model, or path of a checkpoint or of an .onnx file."),
    "backend": ("backend", str, "What runs the network: auto, torch, onnx or tensorrt."),
    "device": ("device", str, "auto, cpu, cuda or cuda:N."),
    "overlay_opacity": ("overlay.opacity", float, "Of the colours in ~/overlay, 0 to 1."),
    "use_sim_time": ("use_sim_time", bool, "Time from /clock (bag replay)."),
    "autostart": ("autostart", bool, "Configure and activate at start."),
}
"""Arguments that are parameters of the node: the parameter, its type, and a description."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file", default_value=DEFAULT_PARAMETERS, description="Parameters of the node (YAML)."
    ),
    DeclareLaunchArgument("image_topic", default_value="", description="Topic of the only camera."),
    *(
        DeclareLaunchArgument(argument, default_value="", description=f"{text} Not given: as in params_file.")
        for argument, (_, _, text) in PARAMETERS.items()
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("enclave", default_value="", description="SROS2 enclave of the node."),
    DeclareLaunchArgument("respawn", default_value="true", description="Start the node again after a crash."),
    DeclareLaunchArgument("respawn_delay", default_value="1.0", description="Seconds before that."),
]


def generate_launch_description() -> LaunchDescription:
    """The node, with the middleware set up for images."""
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
        # It keeps namespace, remappings and environment, whatever group the node was started in.
        respawn=_argument(context, "respawn", bool),
        respawn_delay=max(_argument(context, "respawn_delay", float), LEAST_DELAY),
        on_exit=_after_exit if _argument(context, "respawn", bool) else None,
    )
    return [node]


def _after_exit(event: ProcessExited, context: LaunchContext) -> list[object]:
    """Announce the new start, or call it off: launch would also repeat an orderly end and a refusal."""
    if context.is_shutdown:
        return []
    if event.returncode in FINAL:
        return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action)))]
    return [LogInfo(msg=f"panoptic_node ended with exit code {event.returncode}; starting it again")]


def _chosen_parameters(context: LaunchContext) -> dict[str, object]:
    """Values of the arguments that are given."""
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
