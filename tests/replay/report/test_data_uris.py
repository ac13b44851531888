# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images in a page: small, with accurate colours."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from ciae_ros.replay.report.data_uris import JPEG_BYTES, WIDTH, label_uri, photo_uri


def _decoded(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def test_large_photos_become_small() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (1080, 1920, 3), np.uint8)
    uri = photo_uri(noise)
    assert uri.startswith("data:image/jpeg;base64,")
    assert _decoded(uri).shape[1] <= WIDTH
    assert len(uri) <= 1.4 * JPEG_BYTES


def test_small_photos_keep_their_size() -> None:
    assert _decoded(photo_uri(np.full((48, 64, 3), 90, np.uint8))).shape == (48, 64, 3)


def test_label_images_keep_their_colours() -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[10:30, 5:40], picture[20:50, 50:70] = (10, 200, 30), (250, 3, 7)
    uri = label_uri(picture)
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(_decoded(uri), picture)


def test_scaled_label_images_are_not_blurred() -> None:
    picture = np.zeros((400, 1600, 3), np.uint8)
    picture[:, 801:] = (0, 0, 255)
    shrunk = _decoded(label_uri(picture))
    assert shrunk.shape == (240, 960, 3)
    assert len(np.unique(shrunk.reshape(-1, 3), axis=0)) == 2


def test_images_with_many_colours_are_photos() -> None:
    ramp = np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)
    picture = np.stack([ramp, ramp[::-1], 255 - ramp], axis=2)
    assert label_uri(picture).startswith("data:image/jpeg")
