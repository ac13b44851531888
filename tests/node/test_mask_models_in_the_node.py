# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node with networks of transformers, and with models that cannot be used."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("transformers", reason="needs requirements-models.txt")
from ciae_ros.core.processes import stop
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from tests.inference.loading.huggingface_models import write_model
from tests.node.harness import Client, header, start_node

STAMP = 123_456_789
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))
EVERYTHING = {"score_threshold": "0.0", "mask_threshold": "0.3", "overlap_threshold": "0.0"}
"""Thresholds with which random weights find segments."""


@pytest.mark.parametrize("family", ["eomt", "mask2former", "oneformer", "detr"])
def test_the_messages_are_those_of_every_model(ros: None, tmp_path: Path, family: str) -> None:
    folder = write_model(family, tmp_path / family)
    process = start_node(model=str(folder), device="cpu", expected_sizes="[64x48]", **EVERYTHING)
    client = Client()
    try:
        client.subscribe_to_overlay()
        client.wait_until_active(process)
        client.publish(IMAGE, STAMP)
        client.wait(lambda: all(STAMP in each for each in (client.labels, client.segments, client.semantics)))
        labels, segments = client.labels[STAMP], client.segments[STAMP]
        assert labels.header == segments.header == header(STAMP)
        assert (labels.height, labels.width, labels.encoding) == (60, 80, "16UC1")
        assert segments.model == family
        label_map = np.frombuffer(labels.data, np.uint16).reshape(60, 80)
        assert set(np.unique(label_map).tolist()) - {0} == {segment.id for segment in segments.segments}
        semantic = np.frombuffer(client.semantics[STAMP].data, np.uint16).reshape(60, 80)
        assert segments.segments
        for segment in segments.segments:
            assert segment.category_name in ("person", "car", "road", "sky-other-merged", "tree-merged")
            assert segment.is_thing == (segment.category_name in ("person", "car"))
            assert 0 < segment.score <= 1
            assert segment.area == (label_map == segment.id).sum()
            assert (semantic[label_map == segment.id] == segment.category_id).all()
        # The thresholds can be changed while the node runs.
        assert client.set_parameters_of_node(score_threshold=1.0) == [""]
        client.publish(IMAGE, STAMP + 1)
        client.wait(lambda: STAMP + 1 in client.segments)
        assert not client.segments[STAMP + 1].segments
        assert client.counts.get("dropped, failed", "0") == "0"
    finally:
        client.destroy_node()
        stop(process)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("hf://nothing", "hf://nothing is not the name of a model on the Hugging Face hub: use hf://OWNER/NAME"),
        ("hf://tue/eomt", "is not in the local cache, and the hub cannot be reached: connect, or copy the cache"),
        ("FOLDER", "has no config.json: give a folder that save_pretrained or hf download wrote"),
    ],
)
def test_models_that_cannot_be_used_end_the_start_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    process = start_node(model=model.replace("FOLDER", str(tmp_path)), device="cpu")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == CONFIGURATION_ERROR
    (line,) = (line for line in output.splitlines() if "cannot be configured" in line)
    assert message in line
    assert "Traceback" not in output
