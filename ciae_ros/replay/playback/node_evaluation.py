# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluation of bags through the running node, which includes drops and latency. Needs ROS 2."""

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
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.bag_writing import new_mcap_file
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, typestore
from ciae_ros.replay.bags.types import BagError, GroundTruthError
from ciae_ros.replay.evaluation.run_evaluation import (
    NODE,
    EvaluationConfig,
    checked_plan,
    describe_model,
    ground_truth_of,
    run_evaluation,
)
from ciae_ros.replay.evaluation.shard_evaluation import ShardResult
from ciae_ros.replay.evaluation.shards import Shard
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.playback.bag_playback import BagPlayback, PlaybackError, Record, Route
from ciae_ros.replay.playback.node_responses import NodeResponse, measure_responses

PARAMETER_TIMEOUT = 30.0
"""Maximum seconds for a node to report its parameters."""


@dataclass(frozen=True)
class PlaybackOptions:
    """Options of playback."""

    rate: float = 1.0
    """Playback rate relative to the recording."""
    attach: str = ""
    """Name of a running node with `use_sim_time`, such as /panoptic_node; empty to start one."""
    params_file: Path | None = None
    """Parameter file of the started node."""


class PlaybackResult(NamedTuple):
    """Result of playing a bag."""

    responses: dict[str, dict[int, NodeResponse]]
    """Responses by topic and stamp."""
    seconds: float
    """Time from the first image to the last response."""
    dropped: dict[str, int]
    """Number of dropped images by reason."""
    device_memory: int | None
    """Device memory of the node in bytes; None on a CPU."""
    digest: str
    """Digest of the node's model."""


def evaluate_through_node(config: EvaluationConfig, playback: PlaybackOptions) -> EvaluationRun:
    """Play the bags into the node and evaluate its responses with the metrics of `evaluate`.

    Args:
        config: configuration of the run; the shards of a bag are evaluated together.
        playback: options of playback.

    Raises:
        PlaybackError: the node does not start, does not subscribe, or ends.
        Exception: as `evaluate`.
    """
    plan = checked_plan(config)
    predictor = config.model.build()
    truth_of = ground_truth_of(config.ground_truth, predictor.categories)
    model = describe_model(predictor) | {"kind": NODE, "rate": playback.rate}

    def evaluate_shards(
        shards: Sequence[Shard], done: Callable[[int], object]
    ) -> Iterator[tuple[Shard, ShardResult | str]]:
        first_of = {shard.path: shard for shard in reversed(plan.shards)}
        for path in dict.fromkeys(shard.path for shard in shards):
            of_bag = [shard for shard in shards if shard.path == path]
            recording = config.output / "recorded" / f"{of_bag[0].bag.replace('/', '_')}.mcap"
            with open_bag(path) as bag:
                player = _play(bag, sorted({shard.topic for shard in of_bag}), config, playback, recording)
            if player.digest not in ("", predictor.digest):
                raise PlaybackError(
                    f"the model of the node ({player.digest}) differs from that of this command ({predictor.name}, "
                    f"{predictor.digest}): give --model"
                )
            for shard in of_bag:
                done(shard.stop - shard.start)
                try:
                    found = measure_responses(
                        shard, player.responses[shard.topic], predictor.categories, truth_of, config.keep_label_maps
                    )
                except (BagError, GroundTruthError) as error:
                    yield shard, str(error)
                    continue
                # Totals of the whole bag are stored with its first shard, which a resumed run already has.
                of_whole = (player.seconds, player.dropped) if shard == first_of[path] else (0.0, {})
                yield shard, replace(found, seconds=of_whole[0], dropped=of_whole[1], peak_memory=player.device_memory)

    return run_evaluation(config, plan, model, evaluate_shards)


def _play(
    bag: Bag, topics: list[str], config: EvaluationConfig, playback: PlaybackOptions, recording: Path
) -> PlaybackResult:
    recording.parent.mkdir(parents=True, exist_ok=True)
    recording.unlink(missing_ok=True)
    with _node(bag, topics, config, playback) as (routes, is_alive), _recorded(recording) as record:
        player = BagPlayback(bag, routes, record)
        try:
            responses = player.play(playback.rate, is_alive)
            return PlaybackResult(responses, player.seconds, player.dropped(), player.device_memory(), player.digest())
        finally:
            player.destroy_node()


@contextmanager
def _recorded(path: Path) -> Iterator[Record]:
    """Record messages into an MCAP file."""
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
    bag: Bag, topics: list[str], config: EvaluationConfig, playback: PlaybackOptions
) -> Iterator[tuple[dict[str, Route], Callable[[], bool]]]:
    """Run a node while the context lasts; yields its routes and a function that returns whether it is alive."""
    if playback.attach:
        with _ros():
            yield _routes_of(playback.attach, topics), lambda: True
        return
    with isolated_ros_environment() as environment, environment_of_this_process(environment), _ros():
        routes = {topic: _own_route(bag, number, topic) for number, topic in enumerate(topics)}
        process = _start(bag, routes, config, playback, environment)
        try:
            yield routes, lambda: process.poll() is None
        finally:
            stop(process)


def _own_route(bag: Bag, number: int, topic: str) -> Route:
    suffix = "/compressed" if bag.topics[topic].type == COMPRESSED_IMAGE else ""
    return Route(f"/replay/camera{number}/image_raw{suffix}", f"/panoptic_node/camera{number}")


def _start(
    bag: Bag,
    routes: Mapping[str, Route],
    config: EvaluationConfig,
    playback: PlaybackOptions,
    environment: dict[str, str],
) -> subprocess.Popen[str]:
    parameters: dict[str, object] = {
        "cameras": [route.images for route in routes.values()],
        "camera_names": [route.outputs.rpartition("/")[2] for route in routes.values()],
        "expected_sizes": _sizes(bag, list(routes)),
        "use_sim_time": True,
        "diagnostics.status_period": 0.0,
    }
    parameters |= {name: value for name, value in vars(config.model).items() if value is not None}
    return start_module("ciae_ros.node.cli.panoptic_node", parameters, environment, params_file=playback.params_file)


def _sizes(bag: Bag, topics: list[str]) -> list[str]:
    """Return WIDTHxHEIGHT of the first usable image of each topic."""
    sizes = []
    for topic in topics:
        image = next((frame.image for frame in bag.frames(topic) if frame.image is not None), None)
        if image is not None:
            height, width = image.pixels.shape[:2]
            sizes.append(f"{width}x{height}")
    return list(dict.fromkeys(sizes)) or ["640x480"]


def _routes_of(name: str, topics: list[str]) -> dict[str, Route]:
    """Return the routes to a running node whose topics are those of the bag."""
    node = Node("bag_playback_setup")
    try:
        client: Client = node.create_client(GetParameters, f"{name}/get_parameters")
        if not client.wait_for_service(PARAMETER_TIMEOUT):
            raise PlaybackError(f"node {name} does not exist: start it with use_sim_time, or omit --attach")
        future = client.call_async(GetParameters.Request(names=["cameras", "camera_names", "use_sim_time"]))
        rclpy.spin_until_future_complete(node, future, timeout_sec=PARAMETER_TIMEOUT)
        response = future.result()
    finally:
        node.destroy_node()
    if response is None or len(response.values) != 3:
        raise PlaybackError(f"{name} does not report its parameters: is it a panoptic_node?")
    cameras, names, sim_time = response.values
    if not sim_time.bool_value:
        raise PlaybackError(f"{name} does not use simulated time: start it with use_sim_time:=true")
    namespaces = [one for one in names.string_array_value if one]
    if not namespaces and len(cameras.string_array_value) > 1:
        raise PlaybackError(f"set the parameter camera_names of {name}, so that its outputs have different names")
    outputs = [f"{name}/{namespace}" for namespace in namespaces] or [name]
    routes = dict(zip((f"/{one.strip('/')}" for one in cameras.string_array_value), outputs, strict=True))
    missing = [topic for topic in topics if topic not in routes]
    if missing:
        raise PlaybackError(f"{name} does not subscribe to {', '.join(missing)}: set its parameter cameras")
    return {topic: Route(topic, routes[topic]) for topic in topics}


@contextmanager
def _ros() -> Iterator[None]:
    rclpy.init()
    try:
        yield
    finally:
        rclpy.try_shutdown()
