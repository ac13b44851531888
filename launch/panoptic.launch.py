# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Start `panoptic_node` on one or several cameras, and `panoptic_3d` if wished, and restart them after a crash."""

import json
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
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from ciae_ros.node.cli.arguments import END_OF_3D, WITH_3D
from ciae_ros.node.exit_codes import NO_RESTART

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "panoptic.yaml"])
DEFAULT_PARAMETERS_3D = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "panoptic_3d.yaml"])
NAVIGATION_GROUPS = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "navigation_groups.yaml"])
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
    "backend": ("backend", str, "Backend of the network: auto, torch, openvino, onnx or tensorrt."),
    "device": ("device", str, "auto, cpu, cuda or cuda:N."),
    "tracking": ("tracking.enabled", bool, "Give things ids that stay with them."),
    "semantic_encoding": ("semantic.encoding", str, "Encoding of ~/semantic: 16UC1, or mono8 for Nav2."),
    "overlay_opacity": ("overlay.opacity", float, "Opacity of the colours in ~/overlay, 0 to 1."),
    "use_sim_time": ("use_sim_time", bool, "Use the time of /clock (bag replay)."),
    "autostart": ("autostart", bool, "Configure and activate at start."),
}
"""Parameter, type and description of the arguments that set a parameter of the node."""

PARAMETERS_3D: dict[str, tuple[str, Any, str]] = {
    "depth": ("depth", str, "Topic of depth images, raw or /compressedDepth."),
    "depth_info": ("depth_info", str, "Topic of the CameraInfo of the depth images."),
    "points": ("points", str, "Topic of a lidar's points, instead of depth images."),
    "outputs": ("outputs", str, "Namespace of the camera's outputs, as panoptic_node/front."),
    "color_image": ("image", str, "Topic of the images that colour the points."),
    "output_frame": ("output_frame", str, "Frame of points and boxes."),
    "gravity_frame": ("gravity_frame", str, "Frame whose z axis is up."),
    "boxes": ("boxes.alignment", str, "Axes of the boxes: camera, gravity or oriented."),
    "groups": (
        "groups",
        str,
        "YAML file of groups of categories, with a cloud each; navigation: the one that comes with the package.",
    ),
    "use_sim_time": PARAMETERS["use_sim_time"],
    "autostart": PARAMETERS["autostart"],
}
"""Parameter, type and description of the arguments that set a parameter of `panoptic_3d`."""

NAVIGATION = "navigation"
"""Value of the argument groups for the file that comes with the package."""

NONE, PROCESS, SAME_PROCESS = "none", "process", "same_process"
"""Values of the argument panoptic_3d."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file", default_value=DEFAULT_PARAMETERS, description="Parameters of the node (YAML)."
    ),
    DeclareLaunchArgument("image_topic", default_value="", description="Topic of a single camera."),
    *(
        DeclareLaunchArgument(argument, default_value="", description=f"{text} Default: as in params_file.")
        for argument, (_, _, text) in PARAMETERS.items()
    ),
    DeclareLaunchArgument(
        "panoptic_3d",
        default_value=NONE,
        choices=[NONE, PROCESS, SAME_PROCESS],
        description="Labelled points and boxes from depth: none, in a process of its own, or in that of panoptic_node, "
        "so that no label image crosses processes.",
    ),
    DeclareLaunchArgument(
        "params_file_3d", default_value=DEFAULT_PARAMETERS_3D, description="Parameters of panoptic_3d (YAML)."
    ),
    *(
        DeclareLaunchArgument(argument, default_value="", description=f"{text} Default: as in params_file_3d.")
        for argument, (_, _, text) in PARAMETERS_3D.items()
        if argument not in PARAMETERS
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
    parameters = _chosen_parameters(context, PARAMETERS)
    if "cameras" not in parameters and (topic := _argument(context, "image_topic")):
        parameters["cameras"] = [topic]
    where = _argument(context, "panoptic_3d")
    arguments = _arguments_of_3d(context) if where == SAME_PROCESS else []
    nodes = [_node(context, "panoptic_node", _argument(context, "params_file"), parameters, arguments)]
    if where == PROCESS:
        parameters_3d = _parameters_of_3d(context)
        nodes.append(_node(context, "panoptic_3d", _argument(context, "params_file_3d"), parameters_3d, []))
    return nodes


def _node(
    context: LaunchContext, name: str, params_file: str, parameters: dict[str, object], arguments: list[str]
) -> Node:
    enclave = _argument(context, "enclave")
    return Node(
        package="ciae_ros",
        executable=name,
        name=name,
        namespace=_argument(context, "namespace"),
        output="screen",
        parameters=[params_file, *([parameters] if parameters else [])],
        arguments=arguments,
        ros_arguments=["--enclave", enclave] if enclave else [],
        # A restart preserves namespace, remappings and environment of the node's group.
        respawn=_argument(context, "respawn", bool),
        respawn_delay=max(_argument(context, "respawn_delay", float), MIN_RESTART_DELAY),
        on_exit=_after_exit if _argument(context, "respawn", bool) else None,
    )


def _arguments_of_3d(context: LaunchContext) -> list[str]:
    """Return the arguments of `panoptic_node` that run `panoptic_3d` in the same process."""
    group = context.launch_configurations.get("ros_namespace")
    namespace = make_namespace_absolute(prefix_namespace(group, _argument(context, "namespace")))
    arguments = ["--params-file", _argument(context, "params_file_3d")]
    if namespace:
        arguments += ["-r", f"__ns:={namespace}"]
    for name, value in _parameters_of_3d(context).items():
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    return [WITH_3D, "--ros-args", *arguments, END_OF_3D]


def _parameters_of_3d(context: LaunchContext) -> dict[str, object]:
    parameters = _chosen_parameters(context, PARAMETERS_3D)
    if parameters.get("groups") == NAVIGATION:
        parameters["groups"] = NAVIGATION_GROUPS.perform(context)
    return parameters


def _after_exit(event: ProcessExited, context: LaunchContext) -> list[object]:
    """Announce the restart, or cancel it after a normal exit or a configuration error."""
    if context.is_shutdown:
        return []
    if event.returncode in NO_RESTART:
        return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action)))]
    name, _, _ = event.process_name.rpartition("-")
    return [LogInfo(msg=f"{name} exited with code {event.returncode}; restarting it")]


def _chosen_parameters(context: LaunchContext, declared: dict[str, tuple[str, Any, str]]) -> dict[str, object]:
    """Return the parameters whose arguments are set."""
    return {
        parameter: _argument(context, argument, kind)
        for argument, (parameter, kind, _) in declared.items()
        if _argument(context, argument)
    }


def _argument(context: LaunchContext, name: str, kind: Any = str) -> Any:
    return perform_typed_substitution(context, [LaunchConfiguration(name)], kind)
