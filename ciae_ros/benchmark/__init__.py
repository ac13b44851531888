"""`make bench`: what CIAE costs, stage by stage and beside other networks. Only `frame` needs ROS."""
