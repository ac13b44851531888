# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The decode rate that the benchmark `training` derives the number of workers from."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.networks.training_speed import decode_seconds
from training.config import load_config
from training.engine.builders import build_dataset


def test_decoding_is_timed_on_one_core_and_the_threads_come_back(config: Path) -> None:
    loaded = load_config(config, [])
    threads = torch.get_num_threads()
    assert 0 < decode_seconds(loaded, build_dataset(loaded), batches=1) < 60
    assert torch.get_num_threads() == threads
