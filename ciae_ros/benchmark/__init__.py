"""`make bench`: where a frame's time goes, and how the presets compare."""
