"""Panoptic segmentation of camera streams with category- and instance-aware pixel embeddings (CIAE)."""

__version__ = "0.1.0"
