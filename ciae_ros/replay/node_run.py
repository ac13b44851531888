# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluate bags through the running node: what dropping and latency cost. Needs ROS 2."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node

from ciae_ros.core.processes import environment_of_this_process, isolated_ros_environment, start_module, stop
from ciae_ros.replay.answers import Answer, measure_answers
from ciae_ros.replay.bag_playback import BagPlayback, PlaybackError, Record, Route
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.bag_writing import new_mcap_file
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, typestore
from ciae_ros.replay.evaluate import NODE, Order, carry_out, checked_plan, describe_model, ground_truth_of
from ciae_ros.replay.types import BagError, GroundTruthError, Run
from ciae_ros.replay.unit_evaluation import UnitResult
from ciae_ros.replay.units import Unit

ANSWER_TIMEOUT = 30.0
"""Seconds within which a node tells its parameters."""


@dataclass(frozen=True)
class Playback:
    """How bags are played."""

    rate: float = 1.0
    """So many times as fast as they were recorded."""
    attach: str = ""
    """Name of a node that runs already, such as /panoptic_node, with `use_sim_time`; empty to start one."""
    params_file: Path | None = None
    """Of the node that is started."""


class Played(NamedTuple):
    """What came of playing a bag."""

    answers: dict[str, dict[int, Answer]]
    """By topic and stamp."""
    seconds: float
    """From the first image to the last answer."""
    dropped: dict[str, int]
    """Images by reason."""
    device_memory: int | None
    """Bytes on the node's device; None on a CPU."""
    digest: str
    """Of the node's model."""


def evaluate_through_node(order: Order, playback: Playback) -> Run:
    """Play the bags into the node, and measure what it answers as `evaluate` measures.

    Args:
        order: of the run; its units are those of a bag together.
        playback: how.

    Raises:
        PlaybackError: the node does not start, listen or live.
        Exception: as `evaluate`.
    """
    plan = checked_plan(order)
    predictor = order.model.build()
    truth_of = ground_truth_of(order.ground_truth, predictor.categories)
    model = describe_model(predictor) | {"kind": NODE, "rate": playback.rate}

    def run_units(units: Sequence[Unit], done: Callable[[int], object]) -> Iterator[tuple[Unit, UnitResult | str]]:
        first_of = {unit.path: unit for unit in reversed(plan.units)}
        for path in dict.fromkeys(unit.path for unit in units):
            of_bag = [unit for unit in units if unit.path == path]
            recording = order.output / "recorded" / f"{of_bag[0].bag.replace('/', '_')}.mcap"
            with open_bag(path) as bag:
                player = _play(bag, sorted({unit.topic for unit in of_bag}), order, playback, recording)
            if player.digest not in ("", predictor.digest):
                raise PlaybackError(
                    f"the node runs another model ({player.digest}) than this command ({predictor.name}, "
                    f"{predictor.digest}): give --model"
                )
            for unit in of_bag:
                done(unit.stop - unit.start)
                try:
                    found = measure_answers(
                        unit, player.answers[unit.topic], predictor.categories, truth_of, order.keep_label_maps
                    )
                except (BagError, GroundTruthError) as error:
                    yield unit, str(error)
                    continue
                # What is of the whole bag is kept with its first piece; a run that goes on has that already.
                of_whole = (player.seconds, player.dropped) if unit == first_of[path] else (0.0, {})
                yield unit, replace(found, seconds=of_whole[0], dropped=of_whole[1], peak_memory=player.device_memory)

    return carry_out(order, plan, model, run_units)


def _play(bag: Bag, topics: list[str], order: Order, playback: Playback, recording: Path) -> Played:
    recording.parent.mkdir(parents=True, exist_ok=True)
    recording.unlink(missing_ok=True)
    with _node(bag, topics, order, playback) as (routes, is_alive), _recorded(recording) as record:
        player = BagPlayback(bag, routes, record)
        try:
            answers = player.play(playback.rate, is_alive)
            return Played(answers, player.seconds, player.dropped(), player.device_memory(), player.digest())
        finally:
            player.destroy_node()


@contextmanager
def _recorded(path: Path) -> Iterator[Record]:
    """Writes an MCAP file."""
    with new_mcap_file(path) as writer:
        connections: dict[str, Any] = {}

        def record(topic: str, kind: type, log_time: int, raw: bytes) -> None:
            if topic not in connections:
                package, folder, _ = kind.__module__.split(".", 2)
                name = f"{package}/{folder}/{kind.__name__}"
                connections[topic] = writer.add_connection(topic, name, typestore=typestore())
            writer.write(connections[topic], log_time, raw)

        yield record


@contextmanager
def _node(
    bag: Bag, topics: list[str], order: Order, playback: Playback
) -> Iterator[tuple[dict[str, Route], Callable[[], bool]]]:
    """Routes to a node that runs while the context lasts, and whether it still does."""
    if playback.attach:
        with _ros():
            yield _routes_of(playback.attach, topics), lambda: True
        return
    with isolated_ros_environment() as environment, environment_of_this_process(environment), _ros():
        routes = {topic: _own_route(bag, number, topic) for number, topic in enumerate(topics)}
        process = _start(bag, routes, order, playback, environment)
        try:
            yield routes, lambda: process.poll() is None
        finally:
            stop(process)


def _own_route(bag: Bag, number: int, topic: str) -> Route:
    suffix = "/compressed" if bag.topics[topic].type == COMPRESSED_IMAGE else ""
    return Route(f"/replay/camera{number}/image_raw{suffix}", f"/panoptic_node/camera{number}")


def _start(
    bag: Bag, routes: Mapping[str, Route], order: Order, playback: Playback, environment: dict[str, str]
) -> subprocess.Popen[str]:
    parameters: dict[str, object] = {
        "cameras": [route.images for route in routes.values()],
        "camera_names": [route.outputs.rpartition("/")[2] for route in routes.values()],
        "expected_sizes": _sizes(bag, list(routes)),
        "use_sim_time": True,
        "diagnostics.status_period": 0.0,
    }
    parameters |= {name: value for name, value in vars(order.model).items() if value is not None}
    return start_module("ciae_ros.node.panoptic_node", parameters, environment, params_file=playback.params_file)


def _sizes(bag: Bag, topics: list[str]) -> list[str]:
    """WIDTHxHEIGHT of the first usable image of each topic."""
    sizes = []
    for topic in topics:
        image = next((frame.image for frame in bag.frames(topic) if frame.image is not None), None)
        if image is not None:
            height, width = image.pixels.shape[:2]
            sizes.append(f"{width}x{height}")
    return list(dict.fromkeys(sizes)) or ["640x480"]


def _routes_of(name: str, topics: list[str]) -> dict[str, Route]:
    """To the cameras of a node that runs, whose topics are those of the bag."""
    node = Node("bag_playback_setup")
    try:
        client: Client = node.create_client(GetParameters, f"{name}/get_parameters")
        if not client.wait_for_service(ANSWER_TIMEOUT):
            raise PlaybackError(f"there is no node {name}: start it with use_sim_time, or leave --attach out")
        future = client.call_async(GetParameters.Request(names=["cameras", "camera_names", "use_sim_time"]))
        rclpy.spin_until_future_complete(node, future, timeout_sec=ANSWER_TIMEOUT)
        response = future.result()
    finally:
        node.destroy_node()
    if response is None or len(response.values) != 3:
        raise PlaybackError(f"{name} does not tell its parameters: is it a panoptic_node?")
    cameras, names, sim_time = response.values
    if not sim_time.bool_value:
        raise PlaybackError(f"{name} does not use the bag's time: start it with use_sim_time:=true")
    namespaces = [one for one in names.string_array_value if one]
    if not namespaces and len(cameras.string_array_value) > 1:
        raise PlaybackError(f"set the parameter camera_names of {name}, so that its outputs can be told apart")
    outputs = [f"{name}/{namespace}" for namespace in namespaces] or [name]
    routes = dict(zip((f"/{one.strip('/')}" for one in cameras.string_array_value), outputs, strict=True))
    missing = [topic for topic in topics if topic not in routes]
    if missing:
        raise PlaybackError(f"{name} does not listen to {', '.join(missing)}: set its parameter cameras")
    return {topic: Route(topic, routes[topic]) for topic in topics}


@contextmanager
def _ros() -> Iterator[None]:
    rclpy.init()
    try:
        yield
    finally:
        rclpy.try_shutdown()
