# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The oracle of Table V: ground-truth boxes and masks with the predicted embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from ciae_ros.inference import PanopticResult, Predictor
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from ciae_ros.inference.fusion.fusion import Instances, fuse_instances
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import segment_statistics
from ciae_ros.inference.geometry import ImageGeometry
from training.data.sample import Sample

ROWS_PER_CHUNK = 64
"""Number of rows of the original image whose embedding is in memory at once."""


class OraclePredictor(Predictor):
    """A predictor that takes the instances from the ground truth and their pixels from CIAE's embedding."""

    backend: CiaeBackend

    @torch.inference_mode()
    def predict_sample(self, sample: Sample) -> PanopticResult:
        """Segment an annotated image, whose categories must be in the order of the network's categories."""
        height, width = sample.segments.shape
        geometry = self.geometry(height, width)
        pixels = sample.image.permute(1, 2, 0).contiguous().to(self.device)
        outputs = self.run_network(self.preprocess([(pixels, "rgb")], [geometry]))
        embedding = outputs.embedding[0]
        stuff_queries = self.backend.network.memory.stuff
        instances = true_instances(embedding, sample, len(stuff_queries), geometry)
        fused = fuse_instances(
            embedding, instances, stuff_queries, self.settings.min_stuff_area, geometry, outputs.semantic_logits_of(0)
        )
        return self.to_result(fused)


def true_instances(embedding: Tensor, sample: Sample, num_stuff: int, geometry: ImageGeometry) -> Instances:
    """Create instances from the annotated ones, without crowds.

    Args:
        embedding: embedding (D, h, w) of the image at stride 4, not normalised.
        sample: image with K instances.
        num_stuff: number of stuff classes of the data set.
        geometry: sizes of the image.

    Returns:
        Instances with the boxes of their masks, the mean embedding within their masks as queries (Eq. 4, before the L2
        normalisation), and the annotated classes.
    """
    device = embedding.device
    segments, classes = sample.segments.to(device), sample.classes.to(device)
    # Pixels without an instance become the last of K + 1 segments.
    mask_index = torch.where(segments >= num_stuff, segments - num_stuff, len(classes)).to(torch.int16)
    box = segment_statistics(mask_index, len(classes) + 1).box[:-1].float()
    scale = box.new_tensor([geometry.scale_x, geometry.scale_y])
    first, size = box.split(2, dim=1)
    return Instances(
        queries=mean_embeddings(embedding, mask_index, len(classes) + 1, geometry)[:-1],
        boxes=torch.cat((first * scale, (first + size) * scale), dim=1),
        classes=classes,
        scores=torch.ones(len(classes), device=device),
    )


def mean_embeddings(embedding: Tensor, segments: Tensor, num_segments: int, geometry: ImageGeometry) -> Tensor:
    """Average the embedding, up-sampled to the original image, over each segment.

    Args:
        embedding: embedding (D, h, w) of the image at stride 4.
        segments: integers (H, W) below `num_segments`, at the original size.
        num_segments: number of segments N.
        geometry: sizes of the image.

    Returns:
        Means (N, D) float32; zero for a segment without pixels.
    """
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    grid = sampling_grid(geometry, embedding)
    # Sums over the pixels of a large segment would lose small summands in float32.
    sums = torch.zeros(num_segments, len(embedding), dtype=torch.float64, device=embedding.device)
    for top in range(0, len(segments), ROWS_PER_CHUNK):
        rows = slice(top, top + ROWS_PER_CHUNK)
        at_pixels = grid.columns.interpolate(grid.rows.interpolate(embedding, dim=1, chunk=rows), dim=2)
        sums.index_add_(0, segments[rows].flatten().long(), at_pixels.flatten(1).T.double())
    areas = segments.flatten().long().bincount(minlength=num_segments)
    return (sums / areas.clamp(min=1)[:, None]).float()
