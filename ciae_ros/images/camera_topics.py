"""What camera topics are called."""

from __future__ import annotations

COMPRESSED_SUFFIX = "/compressed"
"""image_transport's name for a topic of JPEG or PNG images beside the raw ones."""


def namespace_of(topic: str) -> str:
    """The topic without what all camera topics have: /front/image_raw/compressed is front."""
    path = topic.removesuffix(COMPRESSED_SUFFIX).strip("/~")
    folder, _, last = path.rpartition("/")
    return folder if folder and last.startswith("image") else path
