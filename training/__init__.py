"""Training and evaluation of CIAE. Needs no ROS."""
