# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Perfect embeddings and boxes reproduce the ground truth of real images: PQ 100 by two evaluators."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from hotcoco.panoptic import pq_compute as hotcoco_pq
from panopticapi.evaluation import pq_compute as panopticapi_pq

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_results
from ciae_ros.inference import PanopticResult
from ciae_ros.inference.fusion.fusion import fuse
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.selection import Proposals
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory

UPSCALE = 4
"""The embedding map has a sample for every pixel: the image is treated as if it had been enlarged by its stride."""


def perfect_result(ids: np.ndarray, infos: list[dict], annotations: PanopticAnnotations) -> PanopticResult:
    """Fuse an embedding map that is, at every pixel, the query of the pixel's ground-truth segment."""
    categories = annotations.categories
    names = [category.id for category in categories.categories]
    num_stuff = len(categories.stuff)
    things = [info for info in infos if names.index(info["category_id"]) >= num_stuff]
    memory = CategoryMemory(ModelConfig(embedding_dim=num_stuff + len(things)))
    memory.vectors.zero_().fill_diagonal_(1.0)
    embedding = torch.zeros(*ids.shape, num_stuff + len(things))
    for info in infos:
        mask = torch.from_numpy(ids == info["id"])
        slot = names.index(info["category_id"])
        embedding[mask] = torch.eye(embedding.shape[2])[num_stuff + things.index(info) if info in things else slot]
    locations, boxes = [], []
    for info in things:
        y, x = np.nonzero(ids == info["id"])
        # The middle pixel of the segment, at the centre of the enlarged pixel's 4 x 4.
        locations.append([x[len(x) // 2] * UPSCALE + 2, y[len(y) // 2] * UPSCALE + 2])
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    size = ids.shape[0] * UPSCALE, ids.shape[1] * UPSCALE
    embedding = embedding.permute(2, 0, 1)
    points = torch.tensor(locations, dtype=torch.int64).view(-1, 2)
    proposals = Proposals(
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4) * UPSCALE,
        scores=torch.ones(len(things)),
        classes=torch.tensor([names.index(i["category_id"]) - num_stuff for i in things], dtype=torch.int64),
        locations=points,
        queries=embedding_at(embedding, points),
    )
    geometry = ImageGeometry(original=ids.shape, resized=size, padded=size)
    return fuse(embedding, proposals, memory, ModelConfig(), 0, geometry).to_result(categories)


@pytest.fixture(scope="module")
def evaluated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """JSON files of the ground truth of ten images, and of the results."""
    annotations = PanopticAnnotations.load(data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json")
    chosen = sorted(annotations.annotations)[:10]
    results = []
    for image_id in chosen:
        entry = annotations.annotations[image_id]
        ids = annotations.segment_ids(image_id)
        results.append((image_id, entry["file_name"], perfect_result(ids, entry["segments_info"], annotations)))
    folder = tmp_path_factory.mktemp("perfect")
    write_results(results, folder / "results.json", annotations)
    content = json.loads(annotations.path.read_text())
    content["images"] = [entry for entry in content["images"] if entry["id"] in chosen]
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in chosen]
    (folder / "truth.json").write_text(json.dumps(content))
    (folder / "truth").symlink_to(annotations.png_folder)
    return folder / "truth.json", folder / "results.json"


@pytest.mark.parametrize("pq_compute", [hotcoco_pq, panopticapi_pq], ids=["hotcoco", "panopticapi"])
def test_ground_truth_comes_back_with_pq_100(
    evaluated: tuple[Path, Path], pq_compute: Callable[..., dict[str, dict[str, float]]]
) -> None:
    truth, results = evaluated
    with redirect_stdout(io.StringIO()):
        scores = pq_compute(str(truth), str(results), str(truth.with_suffix("")), str(results.with_suffix("")))
    for group in ("All", "Things", "Stuff"):
        assert scores[group]["pq"] == pytest.approx(1.0)
        assert scores[group]["n"] > 10
