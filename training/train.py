# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Train a model: `python -m training.train --config config/training/coco.yaml [key=value ...]`.

Under `torchrun` the same command trains with several processes, each with a share of the batch. The output folder
contains `state.pt`, from which the same command resumes a stopped run; `model.safetensors`, the trained model;
`config.yaml`; and TensorBoard's files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import CheckpointError
from training import distributed
from training.config import ConfigError, load_config
from training.data.sample import DataError
from training.distributed import EnvironmentVariableError
from training.engine.loop import DivergedError, train
from training.engine.pretrained import PretrainedError


def main(arguments: list[str] | None = None) -> int:
    """Train a model; returns 0 if training is complete or was stopped by SIGTERM, and 1 after an error."""
    options = _parse(arguments)
    try:
        config = load_config(options.config, options.overrides)
        with distributed.process_group(config.device):
            train(config, options.output or Path("out/training") / config.name)
    except (
        EnvironmentVariableError,
        ConfigError,
        DataError,
        PretrainedError,
        CheckpointError,
        DivergedError,
        OSError,
    ) as error:
        return report_failure("training", error)
    return 0


def _parse(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        "python -m training.train",
        description="Train CIAE. The same command resumes a stopped run from its last checkpoint.",
        epilog="example: torchrun --nproc-per-node 8 -m training.train --config config/training/coco.yaml "
        "data.train=coco/annotations/panoptic_train2017.json optimization.autocast=bf16",
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file, see config/training")
    parser.add_argument("--output", type=Path, help="folder to write to; default: out/training/NAME")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
