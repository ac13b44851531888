# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Networks of transformers that predict a class and a mask for each query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ciae_ros.core.categories import CategorySet
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.classes import read_classes
from ciae_ros.inference.loading.huggingface.deltas import add_base, are_deltas
from ciae_ros.inference.loading.huggingface.files import (
    digest_of,
    local_folder,
    read_json,
    read_tensors,
    weight_files,
)
from ciae_ros.inference.loading.huggingface.preprocessing_config import read_input_format
from ciae_ros.inference.loading.huggingface.reference import ModelReference, parse_reference
from ciae_ros.inference.settings import InferenceSettings

REQUIREMENTS = "pip install -r requirements-models.txt"
TASK = "the task is panoptic"
"""The text that makes OneFormer a panoptic network (Jain et al., OneFormer, Sec. 3.1)."""


@dataclass(frozen=True)
class Family:
    """What the networks of one architecture have in common and their files do not say."""

    architecture: str
    """Name of the class in transformers."""
    size: tuple[int, int] = (800, 1333)
    """Shorter and longest side of the input where the files do not state them."""
    size_divisor: int = 32
    is_square: bool = False
    score_threshold: float = 0.8
    """Threshold of the class probability with which the authors measured their PQ on COCO."""


FAMILIES = {
    family.architecture: family
    for family in (
        Family("EomtForUniversalSegmentation", (640, 640), 16, is_square=True),
        Family("EomtDinov3ForUniversalSegmentation", (640, 640), 16, is_square=True),
        Family("Mask2FormerForUniversalSegmentation"),
        Family("MaskFormerForInstanceSegmentation"),
        Family("OneFormerForUniversalSegmentation"),
        # Padding would need a mask, and its backbone takes any size.
        Family("DetrForSegmentation", size_divisor=1, score_threshold=0.85),
    )
}


@dataclass(frozen=True)
class MaskModel:
    """A network that predicts a class and a mask for each query, and what is needed to interpret its outputs."""

    name: str
    """OWNER/NAME, or the name of the folder."""
    module: nn.Module
    """On the CPU, in float32 and in evaluation mode."""
    categories: CategorySet
    category_of_class: tuple[int, ...]
    """Index into `categories` of each class; -1 for a class without a category."""
    digest: str
    """First 12 hexadecimal digits of the SHA-256 of the weights."""
    settings: InferenceSettings
    """Default thresholds: those of the authors."""
    input_format: InputFormat
    num_queries: int
    task_tokens: Tensor | None = None
    """(1, T) int64 tokens of the task, for OneFormer."""


def load_mask_model(name: str) -> MaskModel:
    """Load a model from the hub, the local cache or a folder. Code of the model's authors is never run.

    Args:
        name: a reference as `parse_reference` takes it.

    Raises:
        CheckpointError: there is no such model, it is not a panoptic one, or it cannot be loaded.
    """
    transformers = import_transformers()
    reference = parse_reference(name)
    folder = local_folder(reference)
    config, preprocessing = read_json(folder / "config.json"), read_json(folder / "preprocessor_config.json")
    family = _family(config, reference)
    size = (config["image_size"],) * 2 if isinstance(config.get("image_size"), int) else family.size
    input_format = read_input_format(preprocessing, size, family.size_divisor, family.is_square, reference)
    files = weight_files(folder, reference)
    module = _build(getattr(transformers, family.architecture), folder, files, reference)
    built: Any = module.config
    num_queries = built.num_queries if hasattr(built, "num_queries") else built.decoder_config.num_queries
    classes = read_classes(config, preprocessing, built.num_labels, reference)
    return MaskModel(
        name=reference.location if reference.is_on_hub else folder.resolve().name,
        module=module,
        categories=classes.categories,
        category_of_class=classes.category_of_class,
        digest=digest_of(files),
        settings=InferenceSettings(score_threshold=family.score_threshold, max_instances=num_queries, min_stuff_area=0),
        input_format=input_format,
        num_queries=num_queries,
        task_tokens=_task_tokens(folder, config, reference) if "OneFormer" in family.architecture else None,
    )


def import_transformers() -> Any:
    """Import the library, which only these models need.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import scipy  # noqa: F401, PLC0415 (needed by Mask2Former and EoMT)
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointError(f"transformers cannot be imported ({error}): type {REQUIREMENTS}") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _family(config: dict[str, Any], reference: ModelReference) -> Family:
    architectures = config.get("architectures") or [config.get("model_type") or "a model without a type"]
    if architectures[0] not in FAMILIES:
        raise CheckpointError(
            f"{reference} is {architectures[0]}, not a panoptic network that is supported: choose one of "
            + ", ".join(FAMILIES)
        )
    return FAMILIES[architectures[0]]


def _build(kind: Any, folder: Path, files: list[Path], reference: ModelReference) -> nn.Module:
    """Create the network and load its weights.

    Raises:
        CheckpointError: the configuration is invalid, or the weights do not fit it or are not finite.
    """
    tensors = read_tensors(files)
    if are_deltas(tensors) or reference.base:
        tensors = add_base(tensors, reference)
    not_finite = next((key for key, value in tensors.items() if not value.isfinite().all()), None)
    if not_finite is not None:
        raise CheckpointError(f"{reference} contains weights that are not finite ({not_finite}): download it again")
    try:
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
        module, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # They are refused below, in one line.
        )
    except Exception as error:  # From validation, file system and constructors, without a common base class.
        raise CheckpointError(f"{reference} cannot be loaded: {' '.join(str(error).split())}") from None
    missing = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if missing:
        raise CheckpointError(
            f"the weights of {reference} do not fit its config.json: {missing[0]} is missing or has another shape"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
        )
    return module.eval().requires_grad_(False)


def _task_tokens(folder: Path, config: dict[str, Any], reference: ModelReference) -> Tensor:
    """Return the tokens of the task, padded with zeros as OneFormer expects."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{reference} has no tokenizer (tokenizer.json, or vocab.json): download it again")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        length = int(config.get("task_seq_len", 77))
        tokens = tokenizer(TASK, padding="max_length", max_length=length, truncation=True)
    except Exception as error:  # Without a common base class.
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the tokenizer of {reference} cannot be loaded ({reason}): download it again") from None
    ids, mask = (torch.tensor([tokens[key]]) for key in ("input_ids", "attention_mask"))
    return ids * mask
