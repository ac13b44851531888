# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The category-aware memory embeddings (Sec. III-C): the queries of the stuff classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ciae_ros.model.config import ModelConfig


class CategoryMemory(nn.Module):
    """One unit vector per stuff class, then those of the things: one for all, one per class, or none (Table IV).

    The vectors are a buffer: they move with the model and are stored in its checkpoint, but no gradient changes them.
    """

    vectors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_stuff_classes = config.num_stuff_classes
        random = torch.randn(config.num_memory_vectors, config.embedding_dim)
        self.register_buffer("vectors", F.normalize(random, dim=1))

    @property
    def stuff(self) -> Tensor:
        """(num_stuff_classes, embedding_dim) unit vectors."""
        return self.vectors[: self.num_stuff_classes]

    @property
    def things(self) -> Tensor:
        """(n, embedding_dim) unit vectors; n is 1, num_thing_classes or 0 (`ModelConfig.memory_of_things`)."""
        return self.vectors[self.num_stuff_classes :]
