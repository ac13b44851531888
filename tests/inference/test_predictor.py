# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images to results: sizes, precisions, channel orders, folded batch normalisation, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from ciae_ros.inference import InferenceSettings, Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.geometry import image_geometry
from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.inference.settings import DeviceSettings
from ciae_ros.model import CIAE, PRESETS, ModelConfig

LIGHT = replace(PRESETS["light_512"], input_size=128, max_input_size=256)


def predictor(**choices: object) -> Predictor:
    return Predictor(untrained_checkpoint("light", LIGHT, coco_categories()), **choices)


@pytest.mark.parametrize("size", [(1, 1), (480, 640), (33, 500), (719, 1281)])
def test_result_has_the_size_of_the_image_and_dense_ids(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    settings = InferenceSettings(score_threshold=0.05, max_instances=20, min_stuff_area=50)
    result = predictor(settings=settings).predict(image)
    assert result.label_map.shape == size
    assert result.label_map.dtype == np.uint16
    assert [segment.id for segment in result.segments] == list(range(1, len(result.segments) + 1))
    assert set(np.unique(result.label_map)) - {0} == {segment.id for segment in result.segments}
    for segment in result.segments:
        y, x = np.nonzero(result.label_map == segment.id)
        assert segment.area == len(x)
        assert segment.box == (x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1)
        assert segment.centroid == (pytest.approx(x.mean()), pytest.approx(y.mean()))


def test_channel_orders_give_the_same_result(data: Path) -> None:
    bgr = cv2.imread(str(next((data / "coco_panoptic_mini" / "val2017").glob("*.jpg"))))
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    rgba = np.dstack((rgb, np.zeros_like(rgb[..., :1])))
    torch.manual_seed(1)
    model = predictor()
    expected = model.predict(rgb, "rgb").label_map
    assert np.array_equal(model.predict(bgr, "bgr").label_map, expected)
    assert np.array_equal(model.predict(rgba, "rgb").label_map, expected)
    assert len(np.unique(expected)) > 1


def test_mono_is_grey_in_all_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (90, 120, 1), np.uint8)
    model = predictor()
    assert np.array_equal(model.predict(grey, "mono").label_map, model.predict(grey.repeat(3, 2), "rgb").label_map)


def test_preprocessing_keeps_the_aspect_ratio_and_pads_with_zero() -> None:
    geometry = image_geometry(300, 400, 128, 256)
    assert (geometry.resized, geometry.padded) == ((128, 171), (128, 192))
    white = torch.full((300, 400, 3), 255, dtype=torch.uint8)
    batch = preprocess(white, "rgb", geometry, ModelConfig(), torch.float32)
    assert batch.shape == (1, 3, 128, 192)
    expected = (255 - torch.tensor(ModelConfig.pixel_mean)) / torch.tensor(ModelConfig.pixel_std)
    torch.testing.assert_close(batch[0, :, 127, 170], expected)
    assert (batch[..., 171:] == 0).all()


def test_preprocessing_resizes_with_a_low_pass_filter() -> None:
    # Every third column, which is what remains without a filter, is alternately dark and bright.
    stripes = torch.zeros(480, 480, 3, dtype=torch.uint8)
    stripes[:, ::2] = 200
    geometry = image_geometry(480, 480, 160, 160)
    batch = preprocess(
        stripes, "rgb", geometry, replace(ModelConfig(), pixel_mean=(0.0,) * 3, pixel_std=(1.0,) * 3), torch.float32
    )
    assert ((batch[..., 2:-2] - 100).abs() <= 12).all()


def test_longer_side_is_bounded() -> None:
    assert image_geometry(100, 1000, 800, 1333).resized == (133, 1333)


def test_bf16_agrees_with_fp32_on_most_pixels(data: Path) -> None:
    image = cv2.imread(str(next((data / "coco_panoptic_mini" / "val2017").glob("*.jpg"))))
    checkpoint = untrained_checkpoint("light", LIGHT, coco_categories())
    full = Predictor(copy.deepcopy(checkpoint)).predict(image, "bgr").semantic_map()
    half = Predictor(checkpoint, precision="bf16").predict(image, "bgr").semantic_map()
    assert (full == half).mean() > 0.9


@pytest.mark.parametrize("preset", ["light_512", "r50_512", "r101_dcn_800"])
def test_folding_batch_norm_changes_nothing(preset: str) -> None:
    backbone = CIAE(PRESETS[preset]).backbone.eval()
    for name, buffer in backbone.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.8, 1.2)
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        before = backbone(image)
        folded = fold_batch_norm(backbone)
        after = backbone(image)
    left = sum(isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm2d)) for module in backbone.modules())
    # The normalisation of a deformable convolution is not folded: R101 has 4 + 23 + 3 in its last three stages.
    assert left == (30 if "dcn" in preset else 0)
    assert folded > 40
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-3 * old.abs().max().item())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"device": "cuda:99"}, "does not exist"),
        ({"device": "tpu"}, "unknown device"),
        ({"device": "meta"}, "not supported"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"precision": "fp16"}, "does not support fp16"),
    ],
)
def test_devices_and_precisions_that_are_not_there_are_refused(choices: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predictor(**choices)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_arrays_that_are_no_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image"):
        predictor().predict(image)


@pytest.mark.parametrize(
    "settings", [{"score_threshold": 1.1}, {"nms_threshold": -1}, {"max_instances": 0}, {"min_stuff_area": -1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        InferenceSettings(**settings)


def test_thresholds_on_the_device_are_created_once_and_can_change_in_any_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    # Creating them copies from the host, for which a CUDA device waits for all work on the stream.
    monkeypatch.setattr("ciae_ros.inference.predictor.runs_triton", lambda device: True)
    light = predictor()
    with torch.inference_mode():
        first = light.settings_on_device(InferenceSettings(score_threshold=0.25))
    with monkeypatch.context() as patch:
        patch.setattr("ciae_ros.inference.predictor.DeviceSettings", None)
        second = light.settings_on_device(InferenceSettings(score_threshold=0.75))
    assert second is first
    assert isinstance(second, DeviceSettings)
    assert second.score_threshold.item() == 0.75


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_cuda_agrees_with_the_cpu(data: Path, precision: str) -> None:
    image = cv2.imread(str(next((data / "coco_panoptic_mini" / "val2017").glob("*.jpg"))))
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint("light", LIGHT, coco_categories())
    on_cpu = Predictor(copy.deepcopy(checkpoint)).predict(image, "bgr").semantic_map()
    # With TF32, convolutions of an untrained network differ by more than this.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        on_cuda = Predictor(checkpoint, "cuda", precision).predict(image, "bgr").semantic_map()
    # An untrained network's categories are nearly equally similar to many pixels.
    assert (on_cpu == on_cuda).mean() > (0.97 if precision == "fp32" else 0.9)


def test_a_batch_equals_its_images_alone(data: Path) -> None:
    paths = sorted((data / "coco_panoptic_mini" / "val2017").glob("*.jpg"))[:3]
    images = [cv2.resize(cv2.imread(str(path)), (160, 120)) for path in paths]
    model = predictor(settings=InferenceSettings(score_threshold=0.05, max_instances=20, min_stuff_area=50))
    results, _ = model.predict_batch([(image, "bgr") for image in images])
    for image, result in zip(images, results, strict=True):
        alone = model.predict(image, "bgr")
        # Sums over a batch may be computed in another order: single pixels at a border of segments may differ.
        assert (alone.semantic_map() == result.semantic_map()).mean() > 0.999


def test_images_of_different_padded_sizes_are_no_batch() -> None:
    small, large = (np.zeros((64, width, 3), np.uint8) for width in (64, 128))
    with pytest.raises(ValueError, match="one padded size"):
        predictor().predict_batch([(small, "rgb"), (large, "rgb")])


def test_result_at_the_networks_size_is_the_smaller_image_of_the_same_scene(data: Path) -> None:
    image = cv2.imread(str(next((data / "coco_panoptic_mini" / "val2017").glob("*.jpg"))))
    torch.manual_seed(1)
    large = predictor()
    torch.manual_seed(1)
    small = predictor(result_size="network")
    full, result = large.predict(image, "bgr"), small.predict(image, "bgr")
    size = large.geometry(*image.shape[:2]).resized
    assert full.label_map.shape == image.shape[:2]
    assert result.label_map.shape == size
    shrunk = cv2.resize(full.semantic_map(), size[::-1], interpolation=cv2.INTER_NEAREST)
    assert (shrunk == result.semantic_map()).mean() > 0.9
    with pytest.raises(ValueError, match="unknown result size 'half'"):
        predictor(result_size="half")
