"""rosbag2 files, read and written without ROS."""
