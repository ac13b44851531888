"""The ROS 2 node. Only this folder and `ciae_ros.demo` import ROS."""
