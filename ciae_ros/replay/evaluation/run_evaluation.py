# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of bags in lock-step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ciae_ros.inference import CategorySet, NotFiniteError, Predictor
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.ground_truth import open_ground_truth, topic_ground_truth
from ciae_ros.replay.bags.types import BagError, GroundTruth, GroundTruthError
from ciae_ros.replay.evaluation.model_options import ModelOptions, describe_settings
from ciae_ros.replay.evaluation.plan import EvaluationPlan, make_plan
from ciae_ros.replay.evaluation.run_folder import RunFolder, with_metadata
from ciae_ros.replay.evaluation.shard_evaluation import ShardEvaluator, ShardResult
from ciae_ros.replay.evaluation.shards import SHARD_FRAMES, Shard
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.stamps import stamp_problems

LOCK_STEP, NODE = "lock-step", "node"
"""Kinds of runs."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Configuration of an evaluation."""

    bags: Sequence[Path]
    output: Path
    model: ModelOptions = field(default_factory=ModelOptions)
    ground_truth: str | None = None
    """Folder or JSON file in COCO's panoptic format, or "LABELS_TOPIC,SEGMENTS_TOPIC" in the bags, or None."""
    topics: Sequence[str] | None = None
    """Image topics; None for all that a camera may have published."""
    keep_label_maps: bool = True
    shard_frames: int = SHARD_FRAMES
    command: str = ""
    """Command line, for the report."""


EvaluateShards = Callable[[Sequence[Shard], Callable[[int], object]], Iterator[tuple[Shard, ShardResult | str]]]
"""Evaluates shards and yields the result of each, or a one-line reason why there is none, in any order. The second
argument is called with the number of frames that were completed."""


def evaluate(config: EvaluationConfig) -> EvaluationRun:
    """Segment every frame of the bags, compute metrics and write the run; resumes an interrupted run.

    Raises:
        BagError: nothing in the bags can be evaluated. Problems with single bags are recorded in the run.
        GroundTruthError: the ground truth does not exist, or its categories differ from the model's.
        CheckpointError, ValueError: the model cannot be used.
        RunFolderError: the output folder contains another run.
        OSError: the output folder cannot be written.
    """
    plan = checked_plan(config)
    with evaluator_of(config) as (predictor, evaluator):
        return run_evaluation(
            config, plan, describe_model(predictor), lambda shards, done: _one_by_one(evaluator, shards, done)
        )


def checked_plan(config: EvaluationConfig) -> EvaluationPlan:
    """Plan the evaluation.

    Raises:
        BagError: there is nothing to evaluate.
    """
    plan = make_plan(config.bags, config.topics, config.shard_frames)
    if not plan.shards:
        raise BagError("; ".join(plan.problems) or "the bags have no frame on an image topic")
    return plan


def run_evaluation(
    config: EvaluationConfig, plan: EvaluationPlan, model: dict[str, Any], evaluate_shards: EvaluateShards
) -> EvaluationRun:
    """Run the evaluation of the shards and write the run.

    Args:
        config: configuration of the run.
        plan: plan for this configuration.
        model: `describe_model`.
        evaluate_shards: evaluates the remaining shards.
    """
    folder = RunFolder(config.output, describe_run(config, plan) | model)
    shards = [shard for shard in plan.shards if not folder.has(shard)]
    problems = list(plan.problems)
    with _progress(plan, shards) as progress:
        for shard, result in evaluate_shards(shards, progress.update):
            if isinstance(result, str):
                problems.append(f"{shard.path}, {shard.topic}: {result}")
            else:
                folder.write(shard, result)
    run = folder.finish(plan.shards, {"problems": problems})
    found = stamp_problems(run.frames)
    if config.ground_truth and not run.frames["has_truth"].any():
        found.append(f"no frame has ground truth in {config.ground_truth}")
    return with_metadata(run, {"problems": [*run.metadata["problems"], *found]}) if found else run


@contextmanager
def evaluator_of(config: EvaluationConfig) -> Iterator[tuple[Predictor, ShardEvaluator]]:
    """Load the model and yield it with an evaluator of shards."""
    predictor = config.model.build()
    truth_of = ground_truth_of(config.ground_truth, predictor.categories)
    pipeline = StreamPipeline(predictor)
    try:
        yield predictor, ShardEvaluator(predictor, pipeline, truth_of, config.keep_label_maps)
    finally:
        pipeline.close()


def ground_truth_of(spec: str | None, categories: CategorySet) -> Callable[[Bag], GroundTruth | None]:
    """Return a function that opens the ground truth of a bag, as `EvaluationConfig.ground_truth` specifies."""
    if spec is None:
        return lambda _: None
    if "," in spec and not Path(spec).exists():
        labels, _, segments = spec.partition(",")
        return lambda bag: topic_ground_truth(bag, labels.strip(), segments.strip(), categories)
    truth = open_ground_truth(spec, categories)
    return lambda _: truth


def describe_model(predictor: Predictor) -> dict[str, Any]:
    """Describe the model and its runtime for run.json."""
    return {
        "model": {"name": predictor.name, "hash": predictor.digest},
        "device": predictor.device_name,
        "settings": describe_settings(predictor),
        "categories": predictor.categories.to_coco(),
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def describe_run(config: EvaluationConfig, plan: EvaluationPlan) -> dict[str, Any]:
    """Describe the configuration for run.json."""
    return {
        "kind": LOCK_STEP,
        "bags": plan.bags,
        "notes": plan.notes,
        "inputs": [[str(shard.path), shard.name] for shard in plan.shards],
        "ground_truth": config.ground_truth,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": config.command,
        "rate": None,
    }


def _one_by_one(
    evaluator: ShardEvaluator, shards: Sequence[Shard], done: Callable[[int], object]
) -> Iterator[tuple[Shard, ShardResult | str]]:
    for shard in shards:
        try:
            yield shard, evaluator.run(shard, lambda: done(1))
        except (BagError, GroundTruthError, NotFiniteError) as error:
            yield shard, str(error)


@contextmanager
def _progress(plan: EvaluationPlan, shards: Sequence[Shard]) -> Iterator[tqdm]:
    left = sum(shard.stop - shard.start for shard in shards)
    # No progress bar without a terminal.
    with tqdm(total=plan.frames, initial=plan.frames - left, unit=" frames", disable=None) as progress:
        yield progress
