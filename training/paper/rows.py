# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Training and evaluation of a row of the paper's tables, unless its results exist."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
import yaml

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.core.text_file import read_text
from ciae_ros.inference import Checkpoint, CheckpointError, Predictor, load_checkpoint
from training.config import ConfigError, TrainingConfig, load_config
from training.engine.builders import choose_device
from training.engine.loop import DivergedError, train
from training.engine.pretrained import PretrainedError
from training.engine.state import MAY_CHANGE
from training.evaluation.calibration import count_calibration_images
from training.evaluation.instance_category import use_instance_category
from training.evaluation.oracle import OraclePredictor
from training.evaluation.runner import evaluate
from training.evaluation.server_results import IMAGE_INFO_PREFIX, write_server_results
from training.paper.tables import Evaluation, PaperRow


def _configs() -> Path:
    """Return config/training of the checkout, or of share/ciae_ros below the prefix of an installed package."""
    here = Path(__file__).resolve()
    installed = (parent / "share" / "ciae_ros" / "config" / "training" for parent in here.parents)
    checkout = here.parents[2] / "config" / "training"
    return next((folder for folder in (checkout, *installed) if folder.is_dir()), checkout)


CONFIGS = _configs()
PAPER_CONFIGS = CONFIGS / "paper"
SMALL = CONFIGS / "small.yaml"
TEST_DEV_INFO = f"{IMAGE_INFO_PREFIX}test-dev2017.json"
TEST_DEV_IMAGES = "test2017"
"""Folder of COCO's test images, which include test-dev."""

# Failures of a row that do not affect other rows; PyTorch raises RuntimeError when out of memory.
FAILURES = (ValueError, OSError, RuntimeError, CheckpointError, PretrainedError)

SCORE_COLUMNS = {
    "PQ": ("all", "pq"),
    "SQ": ("all", "sq"),
    "RQ": ("all", "rq"),
    "PQ_th": ("things", "pq"),
    "SQ_th": ("things", "sq"),
    "RQ_th": ("things", "rq"),
    "PQ_st": ("stuff", "pq"),
    "SQ_st": ("stuff", "sq"),
    "RQ_st": ("stuff", "rq"),
    "mIoU": ("mean_iou",),
}
"""Keys in `Scores.to_dict` by column of the tables."""


class StoppedError(Exception):
    """A training was stopped by a signal; its state is saved."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a row with one seed."""

    scores: dict[str, float] = field(default_factory=dict)
    """Scores in percent by column; empty if none were computed."""
    note: str = ""
    """Why there are no scores."""
    failed: bool = False


def row_config(row: PaperRow, small: bool, overrides: list[str]) -> TrainingConfig:
    """Return the training configuration of a row.

    Later values take precedence: the file's bases, the file, at small scale small.yaml and the file again, overrides.

    Args:
        row: row of a table.
        small: whether to use the small scale.
        overrides: overrides as for `load_config`.

    Raises:
        ConfigError: a key or value is invalid.
    """
    path = config_path(row, small)
    scale = [*_own_keys(SMALL), *_own_keys(path)] if small else []
    return load_config(path, [*scale, *overrides])


def config_path(row: PaperRow, small: bool) -> Path:
    """Return the file of a row's configuration."""
    return PAPER_CONFIGS / f"{(row.small_config if small else None) or row.config}.yaml"


def _own_keys(path: Path) -> list[str]:
    """Return the keys of a file, without its base, as overrides."""
    values = yaml.safe_load(read_text(path))
    return [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in values.items() if key != "base"]


def reproduce_row(row: PaperRow, config: TrainingConfig, folder: Path) -> Outcome:
    """Train and evaluate the model of a row, or return its outcome if that exists.

    Divergence is recorded like a score, because it would occur again; other failures are retried.

    Args:
        row: row of a table.
        config: configuration of its training, with the evaluation data in `data.val`.
        folder: folder of the model and its scores, which rows may share.

    Raises:
        StoppedError: the training was stopped by a signal.
    """
    path = folder / f"scores{'_' if row.evaluation.name else ''}{row.evaluation.name}.json"
    try:
        _check_same_training(config, folder)
        found = _saved_outcome(path, config)
        if found is None:
            found = {**_conditions(config, row.evaluation), **_train_and_evaluate(row.evaluation, config, folder)}
            with open_atomically(path) as file:
                file.write(json.dumps(found, indent=2).encode())
    except FAILURES as error:
        return Outcome(note=" ".join(str(error).split()) or type(error).__name__, failed=True)
    return _outcome(found)


def _train_and_evaluate(evaluation: Evaluation, config: TrainingConfig, folder: Path) -> dict[str, Any]:
    """Return `scores` in the format of `Scores.to_dict`, the path of `results` for the server, or why it `diverged`."""
    try:
        _train(config, folder)
    except DivergedError as error:
        return {"diverged": str(error)}
    assert config.data.val is not None
    checkpoint = load_checkpoint(folder / "model.safetensors")
    predictor = _predictor(evaluation, config, checkpoint)
    if evaluation.test_dev:
        image_info, images = config.data.val.with_name(TEST_DEV_INFO), config.data.val.parents[1] / TEST_DEV_IMAGES
        return {"results": str(write_server_results(predictor, image_info, images, folder))}
    annotations = PanopticAnnotations.load(config.data.val)
    images = config.data.val_images or image_folder_of(config.data.val)
    if count_calibration_images(checkpoint.calibration, annotations, images):
        raise ValueError(f"{folder}: its thresholds were chosen on images of {annotations.path}; set other data.val")
    with tempfile.TemporaryDirectory(prefix="ciae_reproduce_") as results:
        return {"scores": evaluate(predictor, annotations, images, Path(results)).to_dict()}


def _train(config: TrainingConfig, folder: Path) -> None:
    """Train, or resume the run in `folder`, if it is not complete."""
    checkpoint = folder / "model.safetensors"
    if not checkpoint.exists():
        train(_without_validation(config), folder)
    if not checkpoint.exists():
        raise StoppedError(f"the training in {folder} was stopped; the same command resumes")


def _without_validation(config: TrainingConfig) -> TrainingConfig:
    """Disable validation during training, which would not use the evaluation of the row."""
    return config.model_copy(update={"data": config.data.model_copy(update={"val": None})})


def _check_same_training(config: TrainingConfig, folder: Path) -> None:
    """Refuse a folder whose model was trained with another configuration."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    found, expected = yaml.safe_load(read_text(path)), _without_validation(config).model_dump(mode="json")
    for values in (found, expected):
        values["data"].pop("workers")
    for key in expected.keys() - MAY_CHANGE:
        if found.get(key) != expected[key]:
            raise ConfigError(
                f"{folder} belongs to a run with another {key} ({found.get(key)}, not {expected[key]}): "
                "choose another --output, or remove it"
            )


def _saved_outcome(path: Path, config: TrainingConfig) -> dict[str, Any] | None:
    """Return the saved outcome of the same evaluation, if any."""
    if not path.exists():
        return None
    content = json.loads(read_text(path))
    return dict(content) if content["annotations"] == str(config.data.val) else None


def _conditions(config: TrainingConfig, evaluation: Evaluation) -> dict[str, Any]:
    """Return the conditions of the evaluation for the JSON file."""
    device = choose_device(config.device)
    return {
        "name": config.name,
        "seed": config.seed,
        "annotations": str(config.data.val),
        "evaluation": asdict(evaluation),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def _outcome(found: dict[str, Any]) -> Outcome:
    if "diverged" in found:
        return Outcome(note=found["diverged"], failed=True)
    if "results" in found:
        return Outcome(note=f"results for the server: {found['results']} and its folder")
    scores = {}
    for column, keys in SCORE_COLUMNS.items():
        value: Any = found["scores"]
        for key in keys:
            value = value[key]
        if value is not None:
            scores[column] = 100 * value
    return Outcome(scores)


def _predictor(evaluation: Evaluation, config: TrainingConfig, checkpoint: Checkpoint) -> Predictor:
    kind = OraclePredictor if evaluation.oracle else Predictor
    if evaluation.instance_category:
        use_instance_category(checkpoint, evaluation.instance_category)
    return kind(checkpoint, str(choose_device(config.device)), input_size=evaluation.input_size)
