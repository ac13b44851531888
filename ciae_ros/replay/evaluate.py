# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluate bags in lock-step."""

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
from ciae_ros.replay.measures.stamps import stamp_problems
from ciae_ros.replay.model_options import ModelOptions, describe_settings
from ciae_ros.replay.plan import Plan, make_plan
from ciae_ros.replay.run_folder import RunFolder, amended
from ciae_ros.replay.types import BagError, GroundTruth, GroundTruthError, Run
from ciae_ros.replay.unit_evaluation import UnitEvaluator, UnitResult
from ciae_ros.replay.units import UNIT_FRAMES, Unit

LOCK_STEP, NODE = "lock-step", "node"
"""Kinds of runs."""


@dataclass(frozen=True)
class Order:
    """What is to be evaluated."""

    bags: Sequence[Path]
    output: Path
    model: ModelOptions = field(default_factory=ModelOptions)
    ground_truth: str | None = None
    """Folder or JSON file in COCO's panoptic format, or "LABELS_TOPIC,SEGMENTS_TOPIC" in the bags; None for none."""
    topics: Sequence[str] | None = None
    """Of images; None for all that a camera may have sent."""
    keep_label_maps: bool = True
    unit_frames: int = UNIT_FRAMES
    command: str = ""
    """As it was typed, for the report."""


RunUnits = Callable[[Sequence[Unit], Callable[[int], object]], Iterator[tuple[Unit, UnitResult | str]]]
"""Evaluates units and gives each one's result, or in one line why there is none, in any order. Its second argument is
told how many frames more have been done."""


def evaluate(order: Order) -> Run:
    """Segment every frame of the bags, measure, and write the run; goes on with one that was stopped.

    Raises:
        BagError: there is nothing in the bags that can be evaluated. What is wrong with some of them is in the run.
        GroundTruthError: there is no such ground truth, or it has other categories than the model.
        CheckpointError, ValueError: the model cannot be used.
        RunFolderError: the output folder holds another run.
        OSError: the output folder cannot be written.
    """
    plan = checked_plan(order)
    with evaluator_of(order) as (predictor, evaluator):
        return carry_out(
            order, plan, describe_model(predictor), lambda units, done: _one_by_one(evaluator, units, done)
        )


def checked_plan(order: Order) -> Plan:
    """What there is to do.

    Raises:
        BagError: nothing.
    """
    plan = make_plan(order.bags, order.topics, order.unit_frames)
    if not plan.units:
        raise BagError("; ".join(plan.problems) or "the bags have no frame on a topic of images")
    return plan


def carry_out(order: Order, plan: Plan, model: dict[str, Any], run_units: RunUnits) -> Run:
    """The run around its units.

    Args:
        order: of the run.
        plan: of the same order.
        model: `describe_model`.
        run_units: is given the units that have not been evaluated yet.
    """
    folder = RunFolder(order.output, describe_run(order, plan) | model)
    units = [unit for unit in plan.units if not folder.has(unit)]
    problems = list(plan.problems)
    with _progress(plan, units) as progress:
        for unit, result in run_units(units, progress.update):
            if isinstance(result, str):
                problems.append(f"{unit.path}, {unit.topic}: {result}")
            else:
                folder.write(unit, result)
    run = folder.finish(plan.units, {"problems": problems})
    found = stamp_problems(run.frames)
    if order.ground_truth and not run.frames["has_truth"].any():
        found.append(f"no frame has ground truth in {order.ground_truth}")
    return amended(run, {"problems": [*run.about["problems"], *found]}) if found else run


@contextmanager
def evaluator_of(order: Order) -> Iterator[tuple[Predictor, UnitEvaluator]]:
    """The model, loaded, and what evaluates units with it."""
    predictor = order.model.build()
    truth_of = ground_truth_of(order.ground_truth, predictor.categories)
    pipeline = StreamPipeline(predictor)
    try:
        yield predictor, UnitEvaluator(predictor, pipeline, truth_of, order.keep_label_maps)
    finally:
        pipeline.close()


def ground_truth_of(spec: str | None, categories: CategorySet) -> Callable[[Bag], GroundTruth | None]:
    """Opens what `Order.ground_truth` says, once for all bags or for each."""
    if spec is None:
        return lambda _: None
    if "," in spec and not Path(spec).exists():
        labels, _, segments = spec.partition(",")
        return lambda bag: topic_ground_truth(bag, labels.strip(), segments.strip(), categories)
    truth = open_ground_truth(spec, categories)
    return lambda _: truth


def describe_model(predictor: Predictor) -> dict[str, Any]:
    """What run.json says of the model and what runs it."""
    return {
        "model": {"name": predictor.name, "hash": predictor.digest},
        "device": predictor.device_name,
        "settings": describe_settings(predictor),
        "categories": predictor.categories.to_coco(),
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def describe_run(order: Order, plan: Plan) -> dict[str, Any]:
    """What run.json says of the rest."""
    return {
        "kind": LOCK_STEP,
        "bags": plan.bags,
        "inputs": [[str(unit.path), unit.name] for unit in plan.units],
        "ground_truth": order.ground_truth,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": order.command,
        "rate": None,
    }


def _one_by_one(
    evaluator: UnitEvaluator, units: Sequence[Unit], done: Callable[[int], object]
) -> Iterator[tuple[Unit, UnitResult | str]]:
    for unit in units:
        try:
            yield unit, evaluator.run(unit, lambda: done(1))
        except (BagError, GroundTruthError, NotFiniteError) as error:
            yield unit, str(error)


@contextmanager
def _progress(plan: Plan, units: Sequence[Unit]) -> Iterator[tqdm]:
    left = sum(unit.stop - unit.start for unit in units)
    # No bar where nobody would see it move.
    with tqdm(total=plan.frames, initial=plan.frames - left, unit=" frames", disable=None) as progress:
        yield progress
