# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Outputs of the network for annotated images, recorded once and segmented with any thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.inference import InferenceSettings, PanopticResult, Predictor
from ciae_ros.inference.proposals.candidates import CandidateOutputs, Candidates, NetworkOutputs, candidates_of
from ciae_ros.inference.stage_times import HostClock
from ciae_ros.replay.bags.types import TrueSegment, TrueSegments
from training.data.sample import read_rgb


@dataclass(frozen=True)
class RecordedOutputs:
    """Files with the outputs of the network and the segment ids of one image each."""

    predictor: Predictor
    annotations: PanopticAnnotations
    files: dict[ImageId, Path]

    def segment(self, settings: InferenceSettings) -> Iterator[tuple[PanopticResult, TrueSegments]]:
        """Yield the result with these thresholds and the ground truth of each image.

        Raises:
            ValueError: `settings.max_proposals_per_level` is not the one that was recorded.
        """
        for image_id, path in self.files.items():
            content = torch.load(path, weights_only=True)
            entries = self.annotations.annotations[image_id]["segments_info"]
            segments = tuple(map(TrueSegment.from_coco, entries))
            ids = content.pop("ids").numpy()
            yield self._segment(content, ids.shape, settings), TrueSegments(ids, segments)

    def _segment(
        self, content: dict[str, torch.Tensor], size: tuple[int, int], settings: InferenceSettings
    ) -> PanopticResult:
        predictor = self.predictor
        tensors = {name: tensor.to(predictor.device) for name, tensor in content.items()}
        outputs = CandidateOutputs(
            embedding=tensors["embedding"],
            candidates=Candidates(*(tensors[name] for name in Candidates._fields)),
            max_per_level=predictor.settings.max_proposals_per_level,
            semantic_logits=tensors.get("semantic_logits"),
        )
        (fused,) = predictor.segment(
            outputs,
            [predictor.geometry(*size)],
            predictor.settings_on_device(settings),
            HostClock(predictor.device),
        )
        return predictor.to_result(fused)


def record_outputs(
    predictor: Predictor, annotations: PanopticAnnotations, image_folder: Path, folder: Path
) -> RecordedOutputs:
    """Run the network once on each annotated image.

    Args:
        predictor: the predictor; its thresholds do not matter, its maximum of proposals per level does.
        annotations: annotations with the categories of the network.
        image_folder: folder of the image files.
        folder: folder for the files; one of an image of 800 x 1216 network pixels has about 8 MB.

    Raises:
        DataError: an image is missing or corrupt.
        ValueError: a PNG is missing or corrupt, or has another size than its image.
        OSError: a file cannot be written.
    """
    files = {}
    # `disable=None` hides the bar unless the output is a terminal.
    for number, image_id in enumerate(tqdm(annotations.annotations, unit=" images", disable=None)):
        path = image_folder / annotations.images[image_id]["file_name"]
        image, ids = read_rgb(path), annotations.segment_ids(image_id)
        if ids.shape != image.shape[:2]:
            raise ValueError(f"the ground truth of {path} has the size {ids.shape}, its image {image.shape[:2]}")
        files[image_id] = folder / f"{number}.pt"
        torch.save(_tensors(predictor, image, ids), files[image_id])
    return RecordedOutputs(predictor, annotations, files)


@torch.inference_mode()
def _tensors(predictor: Predictor, image: np.ndarray, ids: np.ndarray) -> dict[str, torch.Tensor]:
    pixels = torch.from_numpy(image).to(predictor.device)
    outputs: NetworkOutputs = predictor.run_network(
        predictor.preprocess([(pixels, "rgb")], [predictor.geometry(*ids.shape)])
    )
    tensors = candidates_of(outputs, predictor.settings.max_proposals_per_level)._asdict()
    tensors["embedding"] = outputs.embedding
    if outputs.semantic_logits is not None:
        tensors["semantic_logits"] = outputs.semantic_logits
    return {"ids": torch.from_numpy(ids), **{name: tensor.cpu() for name, tensor in tensors.items()}}
