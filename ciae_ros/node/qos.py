# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Quality of service of the node's topics, and one clear line for each way in which it can be broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind

if TYPE_CHECKING:  # Parameters need PyTorch, which a player of images does not.
    from ciae_ros.node.parameters import NodeParameters

INCOMPATIBLE = "incompatible QoS"
DEADLINE_MISSED = "deadline missed"
LIVELINESS_LOST = "liveliness lost"
LOST_IN_TRANSPORT = "lost in transport"

Report = Callable[[str, int, str], None]
"""Takes what happened (one of the above), how often since the last report, and a line for people."""


def input_qos(parameters: NodeParameters) -> QoSProfile:
    """Of an image subscription."""
    profile = _profile(parameters.input_reliability, parameters.input_depth)
    if parameters.input_deadline:
        profile.deadline = Duration(seconds=parameters.input_deadline)
    if parameters.input_liveliness_lease:
        profile.liveliness_lease_duration = Duration(seconds=parameters.input_liveliness_lease)
    return profile


def output_qos(parameters: NodeParameters) -> QoSProfile:
    """Of all topics that carry frames."""
    return _profile(parameters.output_reliability, parameters.output_depth)


def input_events(topic: str, parameters: NodeParameters, report: Report) -> SubscriptionEventCallbacks:
    """What to do when something is wrong with an image topic.

    Args:
        topic: its full name.
        parameters: of which the input's QoS was made.
        report: is told.
    """
    advice = {
        QoSPolicyKind.RELIABILITY: "set qos.input_reliability to best_effort, or have it publish reliably",
        QoSPolicyKind.DEADLINE: "set qos.input_deadline to 0, or have it offer a deadline of at most "
        f"{parameters.input_deadline} s",
        QoSPolicyKind.LIVELINESS: "set qos.input_liveliness_lease to 0, or have it offer a lease of at most "
        f"{parameters.input_liveliness_lease} s",
    }

    def incompatible(event: Any) -> None:
        kind = QoSPolicyKind(event.last_policy_kind)
        what_to_do = advice.get(kind, "have it publish with the sensor-data profile")
        report(
            INCOMPATIBLE,
            event.total_count_change,
            f"{topic}: a publisher is not heard because of its {qos_policy_name_from_kind(kind)} policy: {what_to_do}",
        )

    def deadline(event: Any) -> None:
        report(
            DEADLINE_MISSED,
            event.total_count_change,
            f"{topic}: no image within {parameters.input_deadline} s (DEADLINE policy, qos.input_deadline): look at "
            "the camera, or set a longer deadline",
        )

    def liveliness(event: Any) -> None:
        if event.not_alive_count_change > 0:
            report(
                LIVELINESS_LOST,
                event.not_alive_count_change,
                f"{topic}: a publisher gave no sign of life for {parameters.input_liveliness_lease} s (LIVELINESS "
                "policy, qos.input_liveliness_lease): look at the camera's driver, or set a longer lease",
            )

    def lost(event: Any) -> None:
        report(
            LOST_IN_TRANSPORT,
            event.total_count_change,
            f"{topic}: images were lost on their way (RELIABILITY policy): start the camera's driver with "
            "config/fastdds.xml, or set qos.input_reliability to reliable",
        )

    return SubscriptionEventCallbacks(
        incompatible_qos=incompatible,
        deadline=deadline if parameters.input_deadline else None,
        liveliness=liveliness if parameters.input_liveliness_lease else None,
        message_lost=lost,
    )


def output_events(topic: str, report: Report) -> PublisherEventCallbacks:
    """What to do when a subscriber asks more than an output topic offers."""

    def incompatible(event: Any) -> None:
        kind = QoSPolicyKind(event.last_policy_kind)
        what_to_do = "ask for less"
        if kind == QoSPolicyKind.RELIABILITY:
            what_to_do = "set qos.output_reliability to reliable, or subscribe with best effort"
        report(
            INCOMPATIBLE,
            event.total_count_change,
            f"{topic}: a subscriber gets nothing because of its {qos_policy_name_from_kind(kind)} policy: {what_to_do}",
        )

    return PublisherEventCallbacks(incompatible_qos=incompatible)


def _profile(reliability: str, depth: int) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy[reliability.upper()])
