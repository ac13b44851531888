# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The pair of images that semantic layers of costmaps read: categories and confidence, one byte per pixel."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.errors import ParameterError
from tests.node.harness import Client, node_in_this_process
from tests.node.true_labels import TrueLabels

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
LABELS = np.ones((60, 80), np.uint16)
LABELS[20:35, 30:50] = 2
LABELS[:10] = 0


def test_both_images_have_one_byte_per_pixel_and_the_header_of_the_labels(client: Client) -> None:
    truth = TrueLabels()
    truth.show(LABELS, ["grass-merged", "car"])
    with node_in_this_process(truth.load, semantic__encoding="mono8") as node:
        assert node._predictor is not None
        ids = {one.name: one.id for one in node._predictor.categories.categories}
        client.subscribe_to_overlay()
        client.wait_for_results()

        def arrived() -> bool:
            client.publish(IMAGE, 7)
            return 7 in client.semantics and 7 in client.confidences

        client.wait(arrived)
        semantic, confidence = client.semantics[7], client.confidences[7]
        for image in (semantic, confidence):
            assert (image.encoding, image.height, image.width, image.step) == ("mono8", 60, 80, 80)
            assert image.header == client.labels[7].header
        expected = np.array([0, ids["grass-merged"], ids["car"]])[LABELS]
        np.testing.assert_array_equal(np.frombuffer(semantic.data, np.uint8).reshape(60, 80), expected)
        # Without a confidence of pixels, it is the score, here 0.9.
        np.testing.assert_array_equal(
            np.frombuffer(confidence.data, np.uint8).reshape(60, 80), np.where(LABELS > 0, 229, 0)
        )


def test_the_confidence_of_the_network_is_published(client: Client) -> None:
    with node_in_this_process(min_stuff_area=1):
        client.subscribe_to_overlay()
        client.wait_for_results()

        def arrived() -> bool:
            client.publish(IMAGE, 7)
            return 7 in client.confidences and 7 in client.labels and 7 in client.segments

        client.wait(arrived)
        confidence = np.frombuffer(client.confidences[7].data, np.uint8).reshape(60, 80)
        labels = np.frombuffer(client.labels[7].data, np.uint16).reshape(60, 80)
        assert len(np.unique(confidence[labels > 0])) > 10
        assert (confidence[labels == 0] == 0).all()
        stuff = [segment for segment in client.segments[7].segments if not segment.is_thing]
        assert stuff
        assert all(0 < segment.score < 1 for segment in stuff)


def test_ids_that_do_not_fit_are_refused() -> None:
    categories = CategorySet((Category(1, "road", False, (0, 0, 0)), Category(256, "car", True, (0, 0, 0))))
    with pytest.raises(ParameterError, match="mono8 cannot hold the id 256 of 'car'"):
        NodeParameters(semantic_encoding="mono8").category_selection(categories)
    NodeParameters(semantic_encoding="mono8", classes=("road",)).category_selection(categories)
    NodeParameters().category_selection(categories)
