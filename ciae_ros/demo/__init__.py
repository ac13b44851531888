"""`make demo`: real video through the player, the node and a recorder, as processes that talk over DDS."""
