# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Play a video, a folder of images or a camera device into `panoptic_node`."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

DISCOVERY_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"

ARGUMENTS = [
    DeclareLaunchArgument("source", description="Video file, folder of images, or device such as /dev/video0."),
    DeclareLaunchArgument("rate", default_value="0.0", description="Images per second; 0: the rate of the source."),
    DeclareLaunchArgument("loop", default_value="true", description="Restart at the end."),
    DeclareLaunchArgument("compressed", default_value="false", description="Publish JPEG images."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of both nodes."),
]


def generate_launch_description() -> LaunchDescription:
    """Describe the node of `panoptic.launch.py`, whose arguments are available, and the player."""
    node_launch = PathJoinSubstitution([FindPackageShare("ciae_ros"), "launch", "panoptic.launch.py"])
    player = Node(
        package="ciae_ros",
        executable="image_player",
        name="image_player",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            {
                "source": ParameterValue(LaunchConfiguration("source"), value_type=str),
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "loop": ParameterValue(LaunchConfiguration("loop"), value_type=bool),
                "compressed": ParameterValue(LaunchConfiguration("compressed"), value_type=bool),
                "wait_for_subscribers": 1,
            }
        ],
    )
    # The demo stays on this machine unless the environment sets another discovery range.
    discovery = SetEnvironmentVariable(
        DISCOVERY_VARIABLE, EnvironmentVariable(DISCOVERY_VARIABLE, default_value="LOCALHOST")
    )
    return LaunchDescription(
        [*ARGUMENTS, discovery, IncludeLaunchDescription(PythonLaunchDescriptionSource([node_launch])), player]
    )
