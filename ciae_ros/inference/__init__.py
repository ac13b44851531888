# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Raw outputs of the network to panoptic results, on the device. Needs no ROS."""

from ciae_ros.inference.backends import load_for_backend
from ciae_ros.inference.categories import Category, CategorySet, coco_categories
from ciae_ros.inference.checkpoint import (
    UNTRAINED,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from ciae_ros.inference.fusing import NotFiniteError
from ciae_ros.inference.named_models import DEFAULT_MODEL, load_model
from ciae_ros.inference.onnx_model import OnnxModel
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.result import UNLABELLED, PanopticResult, Segment
from ciae_ros.inference.settings import InferenceSettings

__all__ = [
    "DEFAULT_MODEL",
    "UNLABELLED",
    "UNTRAINED",
    "Category",
    "CategorySet",
    "Checkpoint",
    "CheckpointError",
    "InferenceSettings",
    "NotFiniteError",
    "OnnxModel",
    "PanopticResult",
    "Predictor",
    "Segment",
    "coco_categories",
    "load_checkpoint",
    "load_for_backend",
    "load_model",
    "save_checkpoint",
    "untrained_checkpoint",
]
