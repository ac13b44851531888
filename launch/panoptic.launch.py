"""Start `panoptic_node` on a camera topic."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "panoptic.yaml"])
FASTDDS_PROFILE = PathJoinSubstitution([FindPackageShare("ciae_ros"), "config", "fastdds.xml"])
# Jazzy's Fast DDS knows the older name.
PROFILE_VARIABLE = ("FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS") + "_DEFAULT_PROFILES_FILE"

ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file", default_value=DEFAULT_PARAMETERS, description="Parameters of the node (YAML)."
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Topic of the camera images."),
    DeclareLaunchArgument("compressed", default_value="false", description="The images are compressed."),
    DeclareLaunchArgument(
        "model", default_value="camvid_light", description="Name of a shipped model, or path of a checkpoint."
    ),
    DeclareLaunchArgument("device", default_value="auto", description="auto, cpu, cuda or cuda:N."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("overlay_opacity", default_value="0.5", description="Of the colours in ~/overlay, 0 to 1."),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="Time from /clock (bag replay)."),
    DeclareLaunchArgument("autostart", default_value="true", description="Configure and activate at start."),
]


def generate_launch_description() -> LaunchDescription:
    """The node, with the middleware set up for images."""
    node = LifecycleNode(
        package="ciae_ros",
        executable="panoptic_node",
        name="panoptic_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "image_topic": LaunchConfiguration("image_topic"),
                "compressed": _typed("compressed", bool),
                "model": _typed("model", str),
                "device": LaunchConfiguration("device"),
                "overlay.opacity": _typed("overlay_opacity", float),
                "use_sim_time": _typed("use_sim_time", bool),
                "autostart": _typed("autostart", bool),
            },
        ],
    )
    # By default Fast DDS loses images between processes (see the file).
    profile = SetEnvironmentVariable(
        PROFILE_VARIABLE, EnvironmentVariable(PROFILE_VARIABLE, default_value=FASTDDS_PROFILE)
    )
    return LaunchDescription([*ARGUMENTS, profile, node])


def _typed(argument: str, value_type: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(argument), value_type=value_type)
