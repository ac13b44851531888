# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Values and gradients of the CIAE loss compared with a literal implementation of the equations in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.model import ModelConfig
from training.data.sample import CROWD, VOID
from training.data.target import Target, make_target, stack_targets
from training.losses import embedding_loss as module
from training.losses.embedding_loss import POLE, embedding_loss
from training.losses.image_queries import EmbeddingLossConfig

MODEL = ModelConfig(num_stuff_classes=3, num_thing_classes=4, embedding_dim=6)
HEIGHT, WIDTH = 20, 28


def literal_loss(
    embedding: Tensor, target: Target, memory: Tensor, model: ModelConfig, config: EmbeddingLossConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """L_CAE, L_IAE and the sums of Eq. 3, pixel by pixel and query by query."""
    S = model.num_stuff_classes
    L_CAE, L_IAE, N = 0.0, 0.0, int((target.segments >= 0).sum())
    category_sums = torch.zeros_like(memory)
    upsampled = F.interpolate(embedding, scale_factor=4, mode="bilinear", align_corners=False)
    for P, s, classes, boxes in zip(upsampled, target.segments.long(), target.classes, target.boxes, strict=True):
        sums = [
            sum((P[:, y, x] for y, x in (s == S + k).nonzero().tolist()), torch.zeros(6)) for k in range(len(classes))
        ]
        for k, sum_of_p in enumerate(sums):
            if model.memory_of_things != "none":
                category_sums[S + (0 if model.memory_of_things == "merged" else int(classes[k]))] += sum_of_p.detach()
        for k in range(S):
            for y, x in (s == k).nonzero().tolist():
                category_sums[k] += P[:, y, x].detach()
        M_c = list(memory)
        M_s = [*memory[:S], *(m / m.norm() for m in sums)]
        for y, x in (s >= 0).nonzero().tolist():
            i = int(s[y, x])
            p = P[:, y, x] / P[:, y, x].norm()
            thing = 0 if i < S or model.memory_of_things == "merged" else int(classes[i - S])
            c = i if i < S else S + thing
            if model.memory_of_things != "none":
                L_CAE = L_CAE + _literal_pixel([p @ m for m in M_c], c, config)
            similarities = [p @ m for m in M_s]
            for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                if config.box_expansion is not None:
                    w, h = (x2 - x1) * config.box_expansion / 2, (y2 - y1) * config.box_expansion / 2
                    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                    if abs(x + 0.5 - cx) > w or abs(y + 0.5 - cy) > h:
                        similarities[S + k] = torch.zeros((), dtype=p.dtype)
            L_IAE = L_IAE + (config.thing_weight if i >= S else 1.0) * _literal_pixel(similarities, i, config)
    return torch.as_tensor(L_CAE) / N, torch.as_tensor(L_IAE) / N, category_sums


def _literal_pixel(similarities: list[Tensor], own: int, config: EmbeddingLossConfig) -> Tensor:
    d_pos = 1 - similarities[own]
    losses = []
    for k, similarity in enumerate(similarities):
        d_neg = 1 - similarity if k != own else torch.zeros_like(d_pos)
        l_prime = torch.clamp(d_pos - d_neg + config.margin, min=0)
        losses.append(-torch.log(torch.clamp(1 - l_prime / (2 + config.margin), min=POLE)))
    return torch.stack(losses).topk(min(config.top_k, len(losses))).values.sum()


def _scene(model: ModelConfig = MODEL) -> tuple[Tensor, Target, Tensor]:
    """Two images: one with three instances, void, crowd and stuff, and one with stuff only."""
    first = torch.randint(0, 3, (HEIGHT // 4, WIDTH // 4), dtype=torch.int16)
    first = first.repeat_interleave(4, 0).repeat_interleave(4, 1)
    first[2:9, 3:10], first[5:14, 12:17], first[16:20, 20:28] = 3, 4, 5
    first[0:3, 20:25], first[10:13, 2:8] = VOID, CROWD
    second = torch.randint(0, 2, (HEIGHT, WIDTH), dtype=torch.int16)
    target = stack_targets(
        [make_target(first, torch.tensor([1, 3, 1]), 3), make_target(second, torch.tensor([], dtype=torch.long), 3)],
        HEIGHT,
        WIDTH,
    )
    embedding = torch.randn(2, model.embedding_dim, HEIGHT // 4, WIDTH // 4, dtype=torch.float64, requires_grad=True)
    memory = F.normalize(torch.randn(model.num_memory_vectors, model.embedding_dim, dtype=torch.float64), dim=1)
    return embedding, target, memory


@cache
def _literal_results(config: EmbeddingLossConfig, model: ModelConfig) -> tuple[Tensor, ...]:
    """Losses, sums and gradient of `_scene` by the literal loss, which takes long and is the same for both ways."""
    embedding, target, memory = _scene(model)
    cae, iae, sums = literal_loss(embedding, target, memory, model, config)
    (gradient,) = torch.autograd.grad(cae + config.alpha * iae, embedding)
    return cae.detach(), iae.detach(), sums, gradient


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the loss in float64, for accurate comparisons."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(params=["samples", "pixels"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute the loss from the samples of the map, as on a CPU, or from its pixels, as on a GPU."""
    if request.param == "pixels":
        monkeypatch.setattr(module, "_runs_on_samples", lambda embedding: False)
    return request.param


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("config", "model"),
    [
        (EmbeddingLossConfig(), MODEL),
        (EmbeddingLossConfig(box_expansion=None), MODEL),
        (EmbeddingLossConfig(box_expansion=1.0), MODEL),
        (EmbeddingLossConfig(margin=0.3, top_k=2, alpha=0.5, thing_weight=2), MODEL),
        (EmbeddingLossConfig(top_k=1), MODEL),
        (EmbeddingLossConfig(top_k=50, margin=0), MODEL),
        (EmbeddingLossConfig(), replace(MODEL, memory_of_things="per_class")),
        (EmbeddingLossConfig(), replace(MODEL, memory_of_things="none")),
    ],
)
def test_equals_the_equations(config: EmbeddingLossConfig, model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIMILARITIES_AT_ONCE", 1000)  # Many chunks, the last one not full.
    torch.manual_seed(0)
    expected_cae, expected_iae, expected_sums, expected_gradient = _literal_results(config, model)
    torch.manual_seed(0)
    embedding, target, memory = _scene(model)
    loss = embedding_loss(embedding, target, memory, model, config)
    (gradient,) = torch.autograd.grad(loss.total, embedding)
    torch.testing.assert_close(loss.cae, expected_cae, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loss.iae, expected_iae, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loss.total.detach(), expected_cae + config.alpha * expected_iae)
    torch.testing.assert_close(loss.category_sums, expected_sums, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)
    assert gradient.abs().max() > 1e-4


@pytest.mark.usefixtures("way")
def test_gradient_is_that_of_the_value() -> None:
    _, target, memory = _scene()
    torch.manual_seed(3)
    embedding = torch.randn(2, 6, HEIGHT // 4, WIDTH // 4, requires_grad=True)
    config = EmbeddingLossConfig()
    assert torch.autograd.gradcheck(
        lambda e: embedding_loss(e, target, memory, MODEL, config).total,
        embedding,
        eps=1e-7,
        atol=1e-5,
        nondet_tol=1e-9,
    )


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("stride", [2, 4])
def test_pixel_stride_takes_every_nth_pixel(stride: int) -> None:
    embedding, target, memory = _scene()
    sampled = embedding_loss(embedding, target, memory, MODEL, EmbeddingLossConfig(pixel_stride=stride))
    full = embedding_loss(embedding, target, memory, MODEL, EmbeddingLossConfig())
    torch.testing.assert_close(sampled.total, full.total, rtol=0.2, atol=0)
    assert sampled.total != full.total
    taken = int((target.segments[:, stride // 2 :: stride, stride // 2 :: stride] == 0).sum())
    one = torch.ones_like(embedding)
    sums = embedding_loss(one, target, memory, MODEL, EmbeddingLossConfig(pixel_stride=stride)).category_sums
    torch.testing.assert_close(sums[0], torch.full((6,), float(taken)))


@pytest.mark.usefixtures("way")
def test_pole_is_finite() -> None:
    """A pixel that points away from its only query: Eq. 8 would be infinite."""
    memory = F.normalize(torch.randn(MODEL.num_memory_vectors, 6), dim=1)
    target = make_target(torch.zeros(4, 4, dtype=torch.int16), torch.tensor([], dtype=torch.long), 3)
    embedding = (-memory[0]).view(1, 6, 1, 1).clone().requires_grad_()
    config = EmbeddingLossConfig(top_k=1)
    loss = embedding_loss(embedding, target, memory, MODEL, config)
    loss.total.backward()
    torch.testing.assert_close(loss.cae, torch.tensor(-math.log(POLE)))
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


@pytest.mark.usefixtures("way")
def test_void_and_crowd_count_nowhere() -> None:
    embedding, target, memory = _scene()
    (gradient,) = torch.autograd.grad(
        embedding_loss(
            embedding,
            Target(
                torch.full_like(target.segments, CROWD),
                [torch.tensor([], dtype=torch.long)] * 2,
                [torch.zeros(0, 4)] * 2,
            ),
            memory,
            MODEL,
            EmbeddingLossConfig(),
        ).total,
        embedding,
    )
    assert not gradient.any()


def test_memory_hardly_grows_with_the_instances(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest intermediate is bounded by SIMILARITIES_AT_ONCE, or is the similarities of the samples."""
    monkeypatch.setattr(module, "SIMILARITIES_AT_ONCE", 1 << 12)
    largest = []
    for rows in (1, 100):
        segments = torch.zeros(128, 128, dtype=torch.int16)
        segments[:rows] = 3 + torch.arange(rows, dtype=torch.int16)[:, None]
        target = make_target(segments, torch.zeros(rows, dtype=torch.long), 3)
        embedding = torch.randn(1, 6, 32, 32, requires_grad=True)
        sizes = _LargestTensor()
        with sizes:
            embedding_loss(embedding, target, F.normalize(torch.randn(4, 6), dim=1), MODEL, EmbeddingLossConfig())
        largest.append(sizes.largest)
    if way == "pixels":
        assert largest[0] == largest[1] == 6 * 128 * 128
    else:
        assert largest[1] == 32 * 32 * (4 + 100)


class _LargestTensor(torch.utils._python_dispatch.TorchDispatchMode):
    """Records the number of elements of the largest result of any operator."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result


@pytest.mark.parametrize(
    "wrong", [{"margin": -0.1}, {"margin": 2.0}, {"top_k": 0}, {"box_expansion": 0.9}, {"pixel_stride": 3}]
)
def test_refuses_impossible_constants(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmbeddingLossConfig(**wrong)  # type: ignore[arg-type]
