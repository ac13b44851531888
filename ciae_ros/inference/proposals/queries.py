# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The queries of proposals: the embedding at the locations that proposed them (Sec. IV-C)."""

from __future__ import annotations

import torch
from torch import Tensor

from ciae_ros.inference.geometry import EMBEDDING_STRIDE


def embedding_at(embedding: Tensor, locations: Tensor) -> Tensor:
    """Sample P at pixels of the network's input, before L2 normalisation.

    Args:
        embedding: (D, h, w) map at stride 4.
        locations: (K, 2) x, y of pixels; the map is up-sampled bilinearly.

    Returns:
        (K, D).
    """
    height, width = embedding.shape[1:]
    x, y = ((locations + 0.5) / EMBEDDING_STRIDE - 0.5).unbind(1)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    x0, y0 = x.long(), y.long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    fx, fy = (x - x0).to(embedding.dtype), (y - y0).to(embedding.dtype)
    upper = torch.lerp(embedding[:, y0, x0], embedding[:, y0, x1], fx)
    lower = torch.lerp(embedding[:, y1, x0], embedding[:, y1, x1], fx)
    return torch.lerp(upper, lower, fy).T
