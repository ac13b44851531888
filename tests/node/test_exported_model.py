# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node with a model in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
from ciae_ros.core.processes import stop
from ciae_ros.inference import CheckpointError
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.model_loading import load_predictor, warm_up
from ciae_ros.node.parameters.definitions import NodeParameters
from tests.node.harness import Client, header, start_node

STAMP = 123_456_789


def test_a_node_with_an_exported_model_segments(ros: None, exported_light: Path) -> None:
    process = start_node(model=str(exported_light), backend="onnx", device="cpu", expected_sizes="[64x48]")
    client = Client()
    try:
        client.wait_until_active(process)
        client.publish(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), STAMP)
        client.wait(lambda: STAMP in client.labels and STAMP in client.segments)
        labels, segments = client.labels[STAMP], client.segments[STAMP]
        assert labels.header == segments.header == header(STAMP)
        assert (labels.height, labels.width) == (60, 80)
        assert segments.model == "light_512 (untrained)"
        ids = set(np.unique(np.frombuffer(labels.data, np.uint16)).tolist()) - {0}
        assert ids == {segment.id for segment in segments.segments}
        # An image with another aspect ratio has another input size: it is dropped, and the next one segmented.
        client.publish(np.zeros((64, 64, 3), np.uint8), STAMP + 1)
        client.wait(lambda: client.counts.get("dropped, failed") == "1")
        client.publish(np.zeros((60, 80, 3), np.uint8), STAMP + 2)
        client.wait(lambda: STAMP + 2 in client.labels)
        status = client.statuses["/panoptic_node: node"]
        assert "CPUExecutionProvider" in status.hardware_id
    finally:
        client.destroy_node()
        stop(process)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"backend": "torch"}, "backend torch cannot run"),
        ({"backend": "tensorrt"}, "TensorRT does not support the CPU"),
        ({"precision": "bf16"}, "was exported in fp32"),
        ({"expected_sizes": ("64x64",)}, "this image is 128x128 .* exported for 128x192"),
        ({"input_size": 256}, "this image is 256x352 .* exported for 128x192"),
    ],
)
def test_parameters_incompatible_with_the_model_are_refused_at_start(
    exported_light: Path, choices: dict[str, object], message: str
) -> None:
    chosen = {"model": str(exported_light), "device": "cpu", "expected_sizes": ("64x48",)} | choices
    parameters = NodeParameters(**chosen)  # type: ignore[arg-type]
    with pytest.raises((CheckpointError, ValueError), match=message):
        warm_up(StreamPipeline(load_predictor(parameters)), parameters, cameras=1, log=print)
