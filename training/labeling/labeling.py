# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labelling of sequences by teachers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ciae_ros.camera.frames import Report, SourceError
from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.category_map import CategoryMap, MappedResult, ModelCategoryMap
from ciae_ros.replay.bags.types import BagError
from ciae_ros.replay.evaluation.read_ahead import read_ahead
from training.labeling.annotated import Annotated
from training.labeling.frame_selection import Selection, select_frames
from training.labeling.label_set import TRAIN, VAL, LabelSet, SelectedFrame
from training.labeling.sources import ImageSequence, SourceFrame
from training.labeling.teacher import Teacher, check_result
from training.labeling.views import View, views_of
from training.labeling.voting import Thresholds, Vote, combine


@dataclass(frozen=True)
class LabelingConfig:
    """How sequences are labelled.

    Raises:
        ValueError: a value is invalid.
    """

    selection: Selection = field(default_factory=Selection)
    thresholds: Thresholds = field(default_factory=Thresholds)
    mirror: bool = False
    """Let the teachers label the mirrored frame too."""
    neighbors: int = 0
    """Number of frames before and after a frame that the teachers label too, with their motion compensated."""
    hold_out: float = 0.0
    """Share of the frames of each sequence, the last ones, that become the validation split."""
    batch: int = 4
    """Number of images that a teacher labels at once."""
    annotated: Annotated | None = None
    """Annotations of the images with which the labels must agree."""

    def __post_init__(self) -> None:
        if self.neighbors < 0 or self.batch < 1 or not 0 <= self.hold_out < 1:
            raise ValueError("neighbors must be at least 0, batch at least 1, and hold_out in 0..1")

    def metadata(self) -> dict[str, Any]:
        """Return what affects the labels."""
        return {
            "selection": asdict(self.selection),
            "thresholds": asdict(self.thresholds),
            "mirror": self.mirror,
            "neighbors": self.neighbors,
            "hold_out": self.hold_out,
            "annotations": self.annotated.digest if self.annotated else None,
        }


class _ViewResult(NamedTuple):
    """A teacher's result for a view, before it is brought to the pixels of the frame."""

    view: View
    mapped: MappedResult
    instance_categories: frozenset[int]
    is_base: bool

    def to_vote(self) -> Vote:
        result = self.view.restore(self.mapped.result)
        return Vote(result, self.mapped.regions, self.instance_categories, self.is_base)


class _FrameWithNeighbors(NamedTuple):
    """A selected frame with its neighbours."""

    frame: SelectedFrame
    pixels: np.ndarray
    neighbors: list[np.ndarray]
    file_name: str | None


def label_sequences(
    sequences: Sequence[ImageSequence],
    teachers: Sequence[Teacher],
    category_map: CategoryMap,
    folder: Path,
    config: LabelingConfig,
    note: Report,
    problem: Report,
) -> LabelSet:
    """Label the selected frames of sequences and write them as a data set in COCO's panoptic format.

    The same call continues an interrupted one, with the same result, and does nothing once the data set is complete.

    Args:
        sequences: the sequences.
        teachers: their votes are combined; of equal votes the first one wins.
        category_map: map from the teachers' categories to those of the data set.
        folder: folder of the data set, created if it does not exist.
        config: selection, views and thresholds.
        note: called with a line for what is assumed, or left out of a folder or a video.
        problem: called with a line for what cannot be read.

    Returns:
        The complete data set.

    Raises:
        CategoryMapError: the map names no category of a teacher.
        LabelSetError: the folder contains something else.
        TeacherError: a teacher returned something else than labels of the image.
        BagError or SourceError: nothing can be read, or a sequence has changed.
        OSError: the folder cannot be written.
    """
    maps = [category_map.for_model(teacher.categories) for teacher in teachers]
    label_set = LabelSet(folder, _metadata(sequences, teachers, category_map, config))
    if label_set.is_complete:
        return label_set
    if label_set.frames is None:
        label_set.select(_select(sequences, config, note, problem))
    _label_remaining(label_set, sequences, _Labeler(teachers, maps, config), config)
    label_set.finish(category_map.categories)
    return label_set


def _label_remaining(
    label_set: LabelSet, sequences: Sequence[ImageSequence], labeler: _Labeler, config: LabelingConfig
) -> None:
    """Label the frames that have no labels yet; one batch is written while the teachers label the next one."""
    remaining = label_set.remaining
    total = len(label_set.frames or ())
    with (
        tqdm(total=total, initial=total - len(remaining), desc="labelling", unit=" frames", disable=None) as progress,
        ThreadPoolExecutor(1, thread_name_prefix="ciae-write") as worker,
    ):

        def write(chunk: list[_FrameWithNeighbors], results: list[list[_ViewResult]]) -> None:
            for one, of_frame in zip(chunk, results, strict=True):
                votes = [result.to_vote() for result in of_frame]
                if config.annotated is not None:
                    votes = config.annotated.of_image(one.file_name).limit(votes)
                label_set.write(one.frame, one.pixels, combine(votes, config.thresholds))
                progress.update()

        writing: Future[None] | None = None
        frames = read_ahead(_read_frames(sequences, remaining, config.neighbors), config.batch)
        for chunk in _chunks(frames, labeler.frames_at_once):
            results = labeler.label(chunk)
            if writing is not None:
                writing.result()
            writing = worker.submit(write, chunk, results)
        if writing is not None:
            writing.result()


def _metadata(
    sequences: Sequence[ImageSequence],
    teachers: Sequence[Teacher],
    category_map: CategoryMap,
    config: LabelingConfig,
) -> dict[str, Any]:
    """Return all that determines the labels."""
    return {
        "sources": [
            {"name": one.name, "path": str(one.path), "topic": one.topic, "modified": one.path.stat().st_mtime_ns}
            for one in sequences
        ],
        "teachers": [{"name": teacher.name, "digest": teacher.digest} for teacher in teachers],
        "map": category_map.digest,
        "settings": config.metadata(),
    }


def _select(
    sequences: Sequence[ImageSequence], config: LabelingConfig, note: Report, problem: Report
) -> list[SelectedFrame]:
    """Read all sequences once and select the frames to label.

    Raises:
        SourceError: none has a frame.
    """
    selected: list[SelectedFrame] = []
    for sequence in sequences:
        try:
            frames = tqdm(read_ahead(sequence.frames(note, problem)), f"selecting from {sequence.name}", disable=None)
            found = [
                SelectedFrame(sequence.name, one.number, one.seconds, one.stamp, sequence.bag, sequence.topic, TRAIN)
                for one in select_frames(frames, config.selection, is_timed=sequence.is_timed)
            ]
        except (BagError, SourceError) as error:
            problem(str(error))
            continue
        held_out = round(config.hold_out * len(found))
        first = len(found) - held_out
        selected += found[:first]
        selected += [SelectedFrame(**{**vars(one), "split": VAL}) for one in found[first:]]
    if not selected:
        raise SourceError("no frame can be read")
    return selected


def _read_frames(
    sequences: Sequence[ImageSequence], wanted: Sequence[SelectedFrame], neighbors: int
) -> Iterator[_FrameWithNeighbors]:
    """Read the wanted frames and their neighbours again.

    Raises:
        SourceError: a frame is no longer there.
    """
    for sequence in sequences:
        frames = {one.index: one for one in wanted if one.sequence == sequence.name}
        if not frames:
            continue
        found = 0
        for before, frame, after in _with_neighbors(sequence.frames(_ignore, _ignore), neighbors):
            if frame.number in frames:
                found += 1
                neighbor_pixels = [one.pixels for one in (*before, *after)]
                yield _FrameWithNeighbors(frames[frame.number], frame.pixels, neighbor_pixels, frame.file_name)
                if found == len(frames):
                    break
        if found < len(frames):
            raise SourceError(f"{sequence.path} has changed: {len(frames) - found} selected frames are missing")


def _ignore(line: str) -> None:
    """Report nothing: the frames were read before."""


def _with_neighbors(
    frames: Iterable[SourceFrame], count: int
) -> Iterator[tuple[list[SourceFrame], SourceFrame, list[SourceFrame]]]:
    """Yield each frame with up to `count` frames before and after it."""
    frames = iter(frames)
    before: deque[SourceFrame] = deque(maxlen=count)
    ahead = deque(islice(frames, count + 1))
    while ahead:
        frame = ahead.popleft()
        yield list(before), frame, list(ahead)
        before.append(frame)
        ahead.extend(islice(frames, 1))


def _chunks(frames: Iterable[_FrameWithNeighbors], size: int) -> Iterator[list[_FrameWithNeighbors]]:
    """Group consecutive frames with images of one size."""
    chunk: list[_FrameWithNeighbors] = []
    for one in frames:
        if chunk and (len(chunk) == size or chunk[0].pixels.shape != one.pixels.shape):
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


class _Labeler:
    """Lets the teachers label the views of frames."""

    def __init__(self, teachers: Sequence[Teacher], maps: Sequence[ModelCategoryMap], config: LabelingConfig) -> None:
        self._teachers, self._maps, self._config = teachers, maps, config
        views = 1 + config.mirror + 2 * config.neighbors
        self.frames_at_once = max(1, config.batch // views)

    def label(self, frames: Sequence[_FrameWithNeighbors]) -> list[list[_ViewResult]]:
        """Return the results for the views of each frame; all images have one size."""
        views = [list(views_of(one.pixels, one.neighbors, mirror=self._config.mirror)) for one in frames]
        found: list[list[_ViewResult]] = [[] for _ in frames]
        for teacher, category_map in zip(self._teachers, self._maps, strict=True):
            instances = category_map.instance_categories
            results = self._run(teacher, [view.image for of_frame in views for view in of_frame])
            for of_frame, on_frame in zip(views, found, strict=True):
                on_frame += [
                    _ViewResult(view, category_map.apply(next(results)), instances, is_base=number == 0)
                    for number, view in enumerate(of_frame)
                ]
        return found

    def _run(self, teacher: Teacher, images: Sequence[np.ndarray]) -> Iterator[PanopticResult]:
        for start in range(0, len(images), self._config.batch):
            batch = images[start : start + self._config.batch]
            for image, result in zip(batch, teacher.label(batch), strict=True):
                check_result(teacher, result, image)
                yield result
