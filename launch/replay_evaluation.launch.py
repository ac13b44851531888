# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Play a bag into `panoptic_node`, score its results, write a report, and exit."""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

DISCOVERY_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="rosbag2 folder, or .mcap or .db3 file."),
    DeclareLaunchArgument("cameras", description="Topics of images in the bag, as [/front/image_raw]."),
    DeclareLaunchArgument("camera_names", default_value="", description="Namespaces of several cameras' outputs."),
    DeclareLaunchArgument("model", default_value="scenes_light", description="As the parameter of panoptic_node."),
    DeclareLaunchArgument("ground_truth", default_value="", description="Folder, JSON file, or topics in the bag."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Playback rate relative to the recording."),
    DeclareLaunchArgument("output", default_value="out/replay_node", description="Folder for run and report."),
    DeclareLaunchArgument("require", default_value="", description="Required metrics, as 'pq>=40 latency_p99<=0.05'."),
]


def generate_launch_description() -> LaunchDescription:
    """Describe the node of `panoptic.launch.py`, whose other arguments are available, and the replay that scores it."""
    node_launch = PathJoinSubstitution([FindPackageShare("ciae_ros"), "launch", "panoptic.launch.py"])
    # The images of the bag stay on this machine unless the environment sets another discovery range.
    discovery = SetEnvironmentVariable(
        DISCOVERY_VARIABLE, EnvironmentVariable(DISCOVERY_VARIABLE, default_value="LOCALHOST")
    )
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([node_launch]), launch_arguments={"use_sim_time": "true"}.items()
    )
    return LaunchDescription([*ARGUMENTS, discovery, node, OpaqueFunction(function=_evaluate)])


def _evaluate(context: LaunchContext) -> list[object]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    arguments = ["node", value("bag"), "--attach", "/panoptic_node", "--topics", *_topics(value("cameras"))]
    for name in ("model", "rate", "output", "ground_truth", "require"):
        if value(name):
            arguments += [f"--{name.replace('_', '-')}", value(name)]
    replay = Node(package="ciae_ros", executable="replay", output="screen", arguments=arguments)
    # Its exit code is in the log; launch does not return one.
    end = OnProcessExit(target_action=replay, on_exit=[EmitEvent(event=Shutdown(reason="the report is written"))])
    return [RegisterEventHandler(end), replay]


def _topics(cameras: str) -> list[str]:
    return [topic.strip(" '\"") for topic in cameras.strip("[] ").split(",")]
