# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""QoS of the node's topics, and log lines for QoS events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind

if TYPE_CHECKING:  # Parameters import PyTorch, which the image player does not need.
    from ciae_ros.node.parameters.definitions import NodeParameters

INCOMPATIBLE = "incompatible QoS"
DEADLINE_MISSED = "deadline missed"
LIVELINESS_LOST = "liveliness lost"
LOST_IN_TRANSPORT = "lost in transport"

Report = Callable[[str, int, str], None]
"""Takes the kind of an event (one of the above), its number since the last report, and a line for the log."""


def input_qos(parameters: NodeParameters) -> QoSProfile:
    """Return the QoS of an image subscription."""
    profile = _profile(parameters.input_reliability, parameters.input_depth)
    if parameters.input_deadline:
        profile.deadline = Duration(seconds=parameters.input_deadline)
    if parameters.input_liveliness_lease:
        profile.liveliness_lease_duration = Duration(seconds=parameters.input_liveliness_lease)
    return profile


def output_qos(parameters: NodeParameters) -> QoSProfile:
    """Return the QoS of all output topics with frames."""
    return _profile(parameters.output_reliability, parameters.output_depth)


def input_events(topic: str, parameters: NodeParameters, report: Report) -> SubscriptionEventCallbacks:
    """Create the event callbacks of an image subscription.

    Args:
        topic: fully qualified name.
        parameters: parameters of the input QoS.
        report: called for each event.
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
            f"{topic}: a publisher is incompatible because of its {qos_policy_name_from_kind(kind)} policy: "
            f"{what_to_do}",
        )

    def deadline(event: Any) -> None:
        report(
            DEADLINE_MISSED,
            event.total_count_change,
            f"{topic}: no image within {parameters.input_deadline} s (DEADLINE policy, qos.input_deadline): check "
            "the camera, or set a longer deadline",
        )

    def liveliness(event: Any) -> None:
        if event.not_alive_count_change > 0:
            report(
                LIVELINESS_LOST,
                event.not_alive_count_change,
                f"{topic}: a publisher showed no liveliness for {parameters.input_liveliness_lease} s (LIVELINESS "
                "policy, qos.input_liveliness_lease): check the camera's driver, or set a longer lease",
            )

    def lost(event: Any) -> None:
        report(
            LOST_IN_TRANSPORT,
            event.total_count_change,
            f"{topic}: images were lost in transport (RELIABILITY policy): start the camera's driver with "
            "config/fastdds.xml, or set qos.input_reliability to reliable",
        )

    return SubscriptionEventCallbacks(
        incompatible_qos=incompatible,
        deadline=deadline if parameters.input_deadline else None,
        liveliness=liveliness if parameters.input_liveliness_lease else None,
        message_lost=lost,
    )


def output_events(topic: str, report: Report) -> PublisherEventCallbacks:
    """Create the event callbacks of an output topic."""

    def incompatible(event: Any) -> None:
        kind = QoSPolicyKind(event.last_policy_kind)
        what_to_do = "request less"
        if kind == QoSPolicyKind.RELIABILITY:
            what_to_do = "set qos.output_reliability to reliable, or subscribe with best effort"
        report(
            INCOMPATIBLE,
            event.total_count_change,
            f"{topic}: a subscriber is incompatible because of its {qos_policy_name_from_kind(kind)} policy: "
            f"{what_to_do}",
        )

    return PublisherEventCallbacks(incompatible_qos=incompatible)


def _profile(reliability: str, depth: int) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy[reliability.upper()])
