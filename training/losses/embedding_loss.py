# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The CIAE loss (Sec. III-B, Eq. 3 to 12) with the filter of remote instances (Sec. IV-B).

Interpretation of details that the paper does not specify:

* Eq. 7 with d_neg = 0 at k = c_i (Eq. 6) is taken literally: a pixel's own query contributes d_pos + margin, which
  attracts, and is never less than the term of another query.
* "Top-K highest losses" (Eq. 9): for each pixel, the K queries with the highest losses, including its own query.
* N (Eq. 9) is the number of annotated pixels in the batch. Pixels of `VOID` and `CROWD` do not count.
* Eq. 8 is infinite where a pixel points away from its query (d_pos = 2). The argument of the logarithm is at least
  `POLE`; below, the gradient is zero, like that of the cosine.
* Gradients also pass through the instances' mean embeddings; the memory has no gradient (it is updated by Eq. 14).
* A filtered similarity is 0 and remains in the sum, as stated in Sec. IV-B.

Memory is bounded independently of the number of instances: similarities are computed for a chunk of pixels together
with their gradient, so that none are kept for the backward pass. On a CPU `embedding_kernel` computes both from the
samples of the embedding map.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ciae_ros.inference.geometry import EMBEDDING_STRIDE
from ciae_ros.model import ModelConfig
from training.data.target import Target
from training.distributed import mean_over_ranks
from training.losses.embedding_kernel import PixelGrid, PixelTargets, interpolation_weights, pixel_losses
from training.losses.image_queries import EmbeddingLossConfig, ImageQueries

POLE = 1e-6
"""Minimum argument of the logarithm in Eq. 8."""

SIMILARITIES_AT_ONCE = 1 << 23
"""Maximum number of similarities (pixels x queries) in memory."""


class EmbeddingLoss(NamedTuple):
    """The loss, and the sums for the update of the memory."""

    total: Tensor
    """L_CIAE (Eq. 12), with gradient."""
    cae: Tensor
    """L_CAE (Eq. 10), without gradient."""
    iae: Tensor
    """L_IAE (Eq. 11), without gradient."""
    category_sums: Tensor
    """Sums of Eq. 3 (num_memory_vectors, D) over this rank's batch, without gradient; zero for absent categories."""


def embedding_loss(
    embedding: Tensor, target: Target, memory: Tensor, model: ModelConfig, config: EmbeddingLossConfig
) -> EmbeddingLoss:
    """Compute L_CIAE of a batch.

    Args:
        embedding: embedding (B, D, H / 4, W / 4), before up-sampling and normalisation.
        target: annotation of H x W pixels.
        memory: memory (num_memory_vectors, D), M_(t-1) of Sec. III-C.
        model: configuration of the model; with a semantic branch, only instances are discriminated.
        config: constants of the loss.
    """
    start = config.pixel_stride // 2
    segments = target.segments[:, start :: config.pixel_stride, start :: config.pixel_stride]
    num_pixels = mean_over_ranks((segments >= 0).sum()).clamp(min=1)
    images = []
    for b, boxes in enumerate(target.boxes):
        image = ImageQueries(segments[b].long(), boxes, target.classes[b], memory.float(), model, config)
        images.append(_ImageLoss.apply(embedding[b].float(), image))
    total, parts, sums = (torch.stack(values).sum(dim=0) for values in zip(*images, strict=True))
    cae, iae = parts / num_pixels
    return EmbeddingLoss(total / num_pixels, cae, iae, sums)


class _ImageLoss(torch.autograd.Function):
    """Sums of the losses over the pixels of an image; the gradient is computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, image: ImageQueries) -> tuple[Tensor, Tensor, Tensor]:
        """Map an embedding (D, h, w) to the sum of L_CAE + alpha L_IAE, both sums (2,), and the sums of Eq. 3."""
        if _runs_on_samples(embedding):
            parts, ctx.gradient, sums = _loss_and_gradient_on_cpu(embedding, image)
        else:
            with torch.enable_grad():
                leaf = embedding.detach().requires_grad_()
                pixels = _upsampled(leaf, image.config.pixel_stride)
            parts, gradient, sums = _loss_and_gradient(pixels.detach().flatten(1), image)
            (ctx.gradient,) = torch.autograd.grad(pixels, leaf, gradient.view_as(pixels))
        category_sums = image.category_sums(sums)
        ctx.mark_non_differentiable(parts, category_sums)
        return parts[0] + image.config.alpha * parts[1], parts, category_sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total_gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        return total_gradient * ctx.gradient, None


def _runs_on_samples(embedding: Tensor) -> bool:
    """Whether the loss of an embedding (D, h, w) is computed by `embedding_kernel`, which needs two samples a side."""
    return embedding.device.type == "cpu" and min(embedding.shape[1:]) > 1


def _loss_and_gradient_on_cpu(embedding: Tensor, image: ImageQueries) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_loss_and_gradient` returns, with the gradient of the embedding (D, h, w)."""
    samples = embedding.detach().permute(1, 2, 0).contiguous()
    if not samples.isfinite().all():
        # The kernel compares numbers; the step that gets this loss is refused.
        nan = torch.full_like(samples, torch.nan)
        return (
            nan[0, 0, :1].expand(2),
            nan.permute(2, 0, 1),
            nan.new_full((image.num_segments, samples.shape[2]), torch.nan),
        )
    targets = _pixel_targets(samples, image)
    weights = interpolation_weights(targets, (samples.shape[0], samples.shape[1]), image.num_segments)
    flat = samples.flatten(0, 1)
    sums = weights.T @ flat
    with torch.enable_grad():
        instance_sums = sums[image.num_stuff :].detach().requires_grad_()
        means = F.normalize(instance_sums, dim=1)
    queries = torch.cat((image.memory, means.detach()))
    config = image.config
    parts, by_query, by_norm = pixel_losses(samples, queries, targets, config.margin, config.top_k, config.alpha, POLE)
    query_gradient = by_query.T @ flat
    (sums_gradient,) = torch.autograd.grad(means, instance_sums, query_gradient[len(image.memory) :])
    gradient = by_norm.addmm_(by_query, queries).addmm_(weights[:, image.num_stuff :], sums_gradient)
    return parts, gradient.view_as(samples).permute(2, 0, 1), sums


def _pixel_targets(samples: Tensor, image: ImageQueries) -> PixelTargets:
    dtype = samples.numpy().dtype
    rows, columns = (
        PixelGrid.of_axis(pixels, length, image.config.pixel_stride, EMBEDDING_STRIDE, dtype)
        for pixels, length in zip(image.shape, samples.shape[:2], strict=True)
    )
    segment = torch.arange(image.num_segments)
    is_thing = segment >= image.num_stuff
    weight = torch.where(is_thing, image.config.thing_weight, 1.0 if image.with_stuff else 0.0)
    everywhere = image.boxes.new_tensor([-torch.inf, -torch.inf, torch.inf, torch.inf]).expand_as(image.boxes)
    boxes = everywhere if image.config.box_expansion is None else image.boxes
    first_row, end_row = rows.inside(boxes[:, 1], boxes[:, 3])
    first_column, end_column = columns.inside(boxes[:, 0], boxes[:, 2])
    return PixelTargets(
        rows=rows,
        columns=columns,
        segments=image.segments.view(image.shape).numpy(),
        category_query=image.category_query(segment).numpy() if image.with_categories else np.empty(0, np.int64),
        num_memory=len(image.memory),
        first_of_segments=image.num_memory_things if image.with_stuff else len(image.memory),
        segment_query=(segment + image.num_memory_things).numpy(),
        weight=weight.to(samples.dtype).numpy(),
        first_row=first_row,
        end_row=end_row,
        first_column=first_column,
        end_column=end_column,
    )


def _loss_and_gradient(pixels: Tensor, image: ImageQueries) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of both losses (2,), the gradient of their total (D, N), and the sums of the segments (_, D)."""
    step = max(1, SIMILARITIES_AT_ONCE // (len(image.memory) + image.num_segments))
    chunks = [slice(at, min(at + step, pixels.shape[1])) for at in range(0, pixels.shape[1], step)]
    sums = _segment_sums(pixels, image, chunks)
    with torch.enable_grad():
        instance_sums = sums[image.num_stuff :].detach().requires_grad_()
        means = F.normalize(instance_sums, dim=1)
    queries = torch.cat((image.memory, means.detach()))
    parts = pixels.new_zeros(2)
    gradient, query_gradient = torch.empty_like(pixels), torch.zeros_like(queries)
    for chunk in chunks:
        with torch.enable_grad():
            p, q = pixels[:, chunk].detach().requires_grad_(), queries.requires_grad_()
            losses = _chunk_losses(p, q, image, chunk)
            p_gradient, q_gradient = torch.autograd.grad(losses[0] + image.config.alpha * losses[1], (p, q))
        parts += losses.detach()
        gradient[:, chunk] = p_gradient
        query_gradient += q_gradient
    (sums_gradient,) = torch.autograd.grad(means, instance_sums, query_gradient[len(image.memory) :])
    gradient += _gather_by_instance(sums_gradient, image)
    return parts, gradient, sums


def _chunk_losses(pixels: Tensor, queries: Tensor, image: ImageQueries, chunk: slice) -> Tensor:
    """Return the sums of L_CAE and L_IAE (2,) over pixels (D, n) with queries (Q, D)."""
    config, segments = image.config, image.segments[chunk]
    similarity = queries @ F.normalize(pixels, dim=0)
    annotated, is_thing = (segments >= 0).to(pixels.dtype), segments >= image.num_stuff
    cae = similarity.new_zeros(())
    if image.with_categories:
        own = image.category_query(segments)
        cae = (_pixel_losses(similarity[: len(image.memory)], own, config) * annotated).sum()
    weight = torch.where(is_thing, config.thing_weight, annotated if image.with_stuff else 0.0)
    first = image.num_memory_things if image.with_stuff else len(image.memory)
    if first == len(similarity):
        return torch.stack((cae, (similarity * 0).sum()))
    own = (segments.clamp(min=0) + image.num_memory_things - first).clamp(min=0)
    among_segments = similarity[first:]
    if config.box_expansion is not None and image.num_segments > image.num_stuff:
        stuff, instances = among_segments.split([len(queries) - first - len(image.boxes), len(image.boxes)])
        among_segments = torch.cat((stuff, instances.masked_fill(image.outside(chunk), 0)))
    return torch.stack((cae, (_pixel_losses(among_segments, own, config) * weight).sum()))


def _pixel_losses(similarity: Tensor, own: Tensor, config: EmbeddingLossConfig) -> Tensor:
    """Return the sums of Eq. 8 (n,) over the top K queries, from similarities (Q, n) and own queries (n,)."""
    positive = similarity.gather(0, own[None])
    losses = _log_loss(1 - positive + config.margin, config.margin)[0]
    # Eq. 7 decreases with the distance: the most similar other queries have the highest losses.
    highest = _highest(similarity.detach().scatter(0, own[None], -torch.inf), config.top_k - 1)
    if len(highest):
        violation = similarity.gather(0, highest) - positive + config.margin
        losses = losses + _log_loss(violation.clamp(min=0), config.margin).sum(dim=0)
    return losses


def _log_loss(violation: Tensor, margin: float) -> Tensor:
    """Compute Eq. 8."""
    return -torch.log((1 - violation / (2 + margin)).clamp(min=POLE))


def _highest(values: Tensor, count: int) -> Tensor:
    """Return indices (count, n) of the highest values (Q, n) of each column, at most Q - 1; `values` is overwritten.

    For a small count along the strided dimension, repeated maxima are several times faster than `topk`.
    """
    rows = []
    for _ in range(min(count, len(values) - 1)):
        rows.append(values.argmax(dim=0, keepdim=True))
        values.scatter_(0, rows[-1], -torch.inf)
    return torch.cat(rows) if rows else torch.empty(0, values.shape[1], dtype=torch.long, device=values.device)


def _segment_sums(pixels: Tensor, image: ImageQueries, chunks: list[slice]) -> Tensor:
    """Return the sums of Eq. 4 (num_segments, D) of pixels (D, N), which are not normalised."""
    identities = torch.arange(image.num_segments, device=pixels.device)[:, None]
    # A product with a mask: on a GPU, thousands of atomic additions to the same sum would serialise.
    products = ((image.segments[chunk] == identities).to(pixels.dtype) @ pixels[:, chunk].T for chunk in chunks)
    return sum(products, pixels.new_zeros(image.num_segments, len(pixels)))


def _gather_by_instance(by_instance: Tensor, image: ImageQueries) -> Tensor:
    """Return the row (n, D) of each pixel's instance, or zero, as (D, N)."""
    rows = torch.cat((by_instance, by_instance.new_zeros(1, by_instance.shape[1])))
    instance = image.segments - image.num_stuff
    return rows.T[:, torch.where(instance >= 0, instance, len(by_instance))]


def _upsampled(embedding: Tensor, pixel_stride: int) -> Tensor:
    """Up-sample an embedding (D, h, w) at stride 4 to `pixel_stride` (Sec. IV-A)."""
    if pixel_stride == EMBEDDING_STRIDE:
        return embedding * 1
    return F.interpolate(
        embedding[None], scale_factor=EMBEDDING_STRIDE // pixel_stride, mode="bilinear", align_corners=False
    )[0]
