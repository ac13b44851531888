"""Recorded bags in, a verdict that people can look at out. Needs no ROS; see `python -m ciae_ros.replay --help`."""
