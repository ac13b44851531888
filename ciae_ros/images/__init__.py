"""Images from cameras: what messages hold, checked and converted. Needs no ROS."""
