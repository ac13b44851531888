# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Teachers: what labels images."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.inference import CheckpointError, Predictor
from ciae_ros.inference.device_choice import choose_device, choose_precision
from ciae_ros.inference.loading.named_models import AUTO, load_for_backend

FACTORY = "make_teacher"
"""Name of the function in a Python file that returns the teacher."""


class TeacherError(ValueError):
    """A teacher that cannot be used; the one-line message states why."""


class Teacher(Protocol):
    """Labels images: a model of this package, or your own class."""

    name: str
    digest: str
    """Identifies weights and settings, so that labelling is resumed only with the same teacher."""
    categories: tuple[Category, ...]
    """Categories of the results, with unique ids. A stuff category that the map makes a thing is a region in which
    objects are not told apart."""

    def label(self, images: Sequence[np.ndarray]) -> Sequence[PanopticResult]:
        """Label images (H, W, 3) uint8 BGR, all of one size; `panoptic_result` in `ciae_ros.core.segment_maps` makes a
        result of a map of segment ids.
        """
        ...


class ModelTeacher:
    """A model of this package or of the Hugging Face hub."""

    def __init__(self, model: str, device: str = AUTO, precision: str = AUTO, scale: float = 1.0) -> None:
        """Load the model.

        Args:
            model: name, path or reference, as for the node.
            device: auto, cpu, cuda or cuda:N.
            precision: auto, fp32, fp16 or bf16.
            scale: factor on the size at which the network sees images.

        Raises:
            CheckpointError: the model does not exist or cannot be used.
            ValueError: the device does not exist or does not support the precision, or the network does not support
                the input size.
        """
        chosen = choose_device(device)
        loaded = load_for_backend(model)
        precision = choose_precision(precision, loaded, chosen)
        self._predictor = Predictor(loaded, chosen, precision)
        # The model's own size is known once it is built, and a predictor takes over its model.
        if scale != 1.0:
            size = max(32, round(scale * self._predictor.backend.input_format.input_size))
            self._predictor = Predictor(load_for_backend(model), chosen, precision, input_size=size)
        self.name = self._predictor.name + (f" at {scale:g} of its size" if scale != 1.0 else "")
        self.digest = f"{self._predictor.digest}, scale {scale:g}, {precision}"
        self.categories = self._predictor.categories.categories

    def label(self, images: Sequence[np.ndarray]) -> list[PanopticResult]:
        """Segment images of one size as one batch."""
        return self._predictor.predict_batch([(image, "bgr") for image in images])[0]


def load_teacher(
    reference: str, device: str = AUTO, precision: str = AUTO, scales: Sequence[float] = (1.0,)
) -> list[Teacher]:
    """Load a teacher, once for each scale.

    Args:
        reference: a model as the node takes it; or FILE.py?KEY=VALUE&KEY=VALUE, whose function
            `make_teacher(device, KEY=VALUE, ...)` returns a `Teacher`.
        device: auto, cpu, cuda or cuda:N.
        precision: that of a model: auto, fp32, fp16 or bf16.
        scales: factors on the size at which the network sees images.

    Raises:
        TeacherError: the Python file cannot be used.
        CheckpointError: the model does not exist or cannot be used.
        ValueError: the device does not exist.
    """
    path, _, options = reference.partition("?")
    if not path.endswith(".py"):
        return [ModelTeacher(reference, device, precision, scale) for scale in scales]
    if tuple(scales) != (1.0,):
        raise TeacherError(f"{path} is a teacher of your own, which sees images at one scale: omit --scales")
    return [_from_file(Path(path), choose_device(device), dict(parse_qsl(options)))]


def _from_file(path: Path, device: str, options: dict[str, str]) -> Any:
    """Call the function of a Python file."""
    if not path.is_file():
        raise TeacherError(f"the teacher {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"teacher_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        teacher: Any = getattr(module, FACTORY)(device, **options)
    except (CheckpointError, TeacherError):
        raise
    except Exception as error:  # The user's code may raise anything.
        raise TeacherError(
            f"the teacher {path} cannot be created by {FACTORY}(device, ...): {type(error).__name__}: {error}"
        ) from error
    missing = [name for name in ("name", "digest", "categories", "label") if not hasattr(teacher, name)]
    if missing:
        raise TeacherError(f"the teacher of {path} has no {' and no '.join(missing)}")
    # Changed code may label differently.
    code = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    teacher.digest = f"{teacher.digest}, code {code}"
    return teacher


def check_result(teacher: Teacher, result: PanopticResult, image: np.ndarray) -> None:
    """Check a result of a teacher.

    Raises:
        TeacherError: it has another size than the image, or unknown categories.
    """
    if result.label_map.shape != image.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (image.shape, result.label_map.shape)]
        raise TeacherError(f"{teacher.name} labelled an image of {sizes[0]} pixels with a map of {sizes[1]}")
    known = {category.id for category in teacher.categories}
    if unknown := [one.category.id for one in result.segments if one.category.id not in known]:
        raise TeacherError(f"{teacher.name} used the category {unknown[0]}, which is not one of its categories")
