"""What fusing costs: against the number of instances, the image's size, Eq. 16 as it is written, and others' merging.

The embedding is random but smooth, as a trained one is: neighbouring samples are alike, so that segments are regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.benchmark.report import Row, spread
from ciae_ros.benchmark.timing import time_in_turns
from ciae_ros.inference.assignment import assign_pixels, assign_pixels_literal
from ciae_ros.inference.fusing import Instances, fuse_instances
from ciae_ros.inference.geometry import EMBEDDING_STRIDE, ImageGeometry

NUM_STUFF, DEPTH = 53, 32
"""Of COCO, and of the paper."""
GRAIN = 12
"""Samples over which an embedding stays alike."""
COMPARED_SIZE, COMPARED_INSTANCES = (800, 1088), 100
INSTANCES = 0, 10, 100, 300
SIZES = (512, 672), (800, 1088), (1088, 1920), (2176, 3840)


@dataclass(frozen=True)
class Scene:
    """All that fusing is given."""

    embedding: Tensor
    stuff_queries: Tensor
    instances: Instances
    geometry: ImageGeometry

    def fuse(self) -> object:
        """Our fusing: assignment, areas, boxes, centroids, filter, label map."""
        return fuse_instances(self.embedding, self.instances, self.stuff_queries, 4096, self.geometry)

    def fuse_literally(self) -> object:
        """The assignment of Eq. 16 alone, as it is written, at full size."""
        arguments = self.stuff_queries, self.instances.queries, self.instances.boxes, self.geometry
        return assign_pixels_literal(self.embedding, *arguments)


def make_scene(size: tuple[int, int], num_instances: int, device: torch.device) -> Scene:
    """An image of this size, a multiple of the stride; instances' boxes are a sixth of its sides on average."""
    generator = torch.Generator().manual_seed(0)
    height, width = (side // EMBEDDING_STRIDE for side in size)
    coarse = torch.randn(1, DEPTH, max(2, height // GRAIN), max(2, width // GRAIN), generator=generator)
    embedding = F.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    centers = torch.rand(num_instances, 2, generator=generator) * torch.tensor([size[1], size[0]])
    sides = (0.04 + 0.25 * torch.rand(num_instances, 2, generator=generator)) * torch.tensor([size[1], size[0]])
    # Queries are what the embedding is at the instances' centres, as a detector would choose them.
    columns, rows = (centers / EMBEDDING_STRIDE).long().unbind(1)
    queries = embedding[:, rows.clamp(max=height - 1), columns.clamp(max=width - 1)].T
    instances = Instances(
        queries.contiguous().to(device),
        torch.cat((centers - sides / 2, centers + sides / 2), dim=1).to(device),
        torch.zeros(num_instances, dtype=torch.int64, device=device),
        torch.rand(num_instances, generator=generator).to(device),
    )
    stuff = torch.randn(NUM_STUFF, DEPTH, generator=generator)
    return Scene(embedding.to(device), stuff.to(device), instances, ImageGeometry(size, size, size))


@torch.inference_mode()
def cost_by_instances_and_size(device: torch.device, rounds: int) -> list[Row]:
    """Our fusing for every number of instances and every size, all in turns."""
    scenes = {(size, count): make_scene(size, count, device) for size in SIZES for count in INSTANCES}
    seconds = time_in_turns({str(key): scene.fuse for key, scene in scenes.items()}, rounds, device)
    times = {key: spread(seconds[str(key)]) for key in scenes}
    return [
        {"size": f"{height} x {width}", "megapixels": height * width / 1e6}
        | {f"{count} instances [ms]": times[(height, width), count]["median"] for count in INSTANCES}
        for height, width in SIZES
    ]


@torch.inference_mode()
def compare(device: torch.device, rounds: int) -> list[Row]:
    """Ours against Eq. 16 as it is written and against the merging of Mask2Former, at one size, in turns."""
    scene = make_scene(COMPARED_SIZE, COMPARED_INSTANCES, device)
    contestants: dict[str, Callable[[], object]] = {"ours": scene.fuse, "Eq. 16 as it is written": scene.fuse_literally}
    try:
        contestants["transformers' post_process_panoptic_segmentation"] = segment_by_segment(scene)
    except ImportError:
        print("transformers is not installed: pip install -r requirements-bench.txt")
    seconds = time_in_turns(contestants, rounds, device)
    ours = spread(seconds["ours"])["median"]
    return [
        {"way": name, **{f"{key} [ms]": value for key, value in spread(times).items()}}
        | {"times ours": spread(times)["median"] / ours}
        for name, times in seconds.items()
    ]


def segment_by_segment(scene: Scene) -> Callable[[], list[Any]]:
    """Mask2Former's merging of as many queries, whose masks are the scene's segments: all of them are kept.

    Returns:
        What to call. Raises ImportError without transformers.
    """
    from transformers import Mask2FormerImageProcessor  # noqa: PLC0415

    arguments = scene.instances.queries, scene.instances.boxes, scene.geometry
    winners = assign_pixels(scene.embedding, scene.stuff_queries, *arguments)
    found = winners.unique()[-COMPARED_INSTANCES:].long()
    small = winners[::EMBEDDING_STRIDE, ::EMBEDDING_STRIDE].long()
    masks = torch.where(small == found[:, None, None], 6.0, -6.0)[None]
    classes = torch.full((1, len(found), NUM_STUFF + 80 + 1), -6.0, device=masks.device)
    classes[0, torch.arange(len(found)), torch.arange(len(found)) % (NUM_STUFF + 80)] = 6.0
    outputs = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    processor = Mask2FormerImageProcessor()

    def call() -> list[Any]:
        sizes = [scene.geometry.original]
        return processor.post_process_panoptic_segmentation(outputs, label_ids_to_fuse=set(), target_sizes=sizes)

    kept = len(call()[0]["segments_info"])
    print(f"segment by segment: {kept} of {len(found)} queries are kept")
    return call
