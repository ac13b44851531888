# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Inference: from images to panoptic results on one device, without ROS."""

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.known_categories import coco_categories
from ciae_ros.core.result import UNLABELLED, PanopticResult, Segment
from ciae_ros.inference.fusion.fused_image import NotFiniteError
from ciae_ros.inference.loading.checkpoint import (
    UNTRAINED,
    Calibration,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.named_models import DEFAULT_MODEL, Model, load_for_backend, load_model
from ciae_ros.inference.loading.onnx_model import OnnxModel
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.settings import InferenceSettings

__all__ = [
    "DEFAULT_MODEL",
    "UNLABELLED",
    "UNTRAINED",
    "Calibration",
    "Category",
    "CategorySet",
    "Checkpoint",
    "CheckpointError",
    "InferenceSettings",
    "Model",
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
