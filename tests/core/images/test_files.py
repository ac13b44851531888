# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Image files of all formats give the same pixels, and files that are not whole are refused by name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ciae_ros.core.images.files import (
    MAX_PIXELS,
    SUFFIXES,
    ImageFileError,
    check_segment_ids,
    exif_orientation,
    read_classes,
    read_image,
    read_segment_ids,
)

SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (64, 48))
GRAY = SCENE[..., 0]


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_has_the_pixels_that_were_written(tmp_path: Path, suffix: str) -> None:
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = saved(Image.fromarray(SCENE), tmp_path / f"scene{suffix}", **lossless)
    rgb = read_image(path, "RGB")
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - SCENE).max() <= (40 if suffix in (".jpg", ".jpeg") else 0)
    assert np.array_equal(read_image(path, "BGR"), rgb[..., ::-1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_to_8(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = GRAY if channels == 1 else SCENE
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), pixels.astype(np.uint16) * 257)
    expected = np.repeat(GRAY[..., None], 3, axis=2) if channels == 1 else SCENE
    assert np.array_equal(read_image(path, "BGR"), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_colours_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(SCENE).convert(mode)
    path = saved(
        image,
        tmp_path / ("image.jpg" if mode == "CMYK" else "image.png"),
        **({"quality": 95} if mode == "CMYK" else {}),
    )
    expected = np.array(image.convert("RGB"))
    assert np.abs(read_image(path, "RGB").astype(int) - expected).max() <= (40 if mode == "CMYK" else 0)


def test_colours_below_transparency_are_kept(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.dstack((SCENE, np.zeros_like(GRAY)))), tmp_path / "clear.png")
    assert np.array_equal(read_image(path, "RGB"), SCENE)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_is_reported_and_not_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(SCENE), tmp_path / "turned.jpg", exif=exif.tobytes())
    assert exif_orientation(path) == orientation
    with Image.open(path) as stored:
        assert np.array_equal(read_image(path, "RGB"), np.array(stored))


def test_a_file_without_an_orientation_is_upright(tmp_path: Path) -> None:
    (tmp_path / "no image.jpg").write_text("none")
    assert exif_orientation(tmp_path / "no image.jpg") == 1
    assert exif_orientation(saved(Image.fromarray(SCENE), tmp_path / "plain.png")) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_truncated_files_are_refused_by_name(tmp_path: Path, suffix: str, share: float) -> None:
    path = saved(Image.fromarray(SCENE), tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(ImageFileError) as caught:
        read_image(path, "RGB")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    cv2.imwrite(str(tmp_path / "float.tif"), GRAY.astype(np.float32))
    for name, reason in (("missing.jpg", "is missing"), ("text.jpg", "not an image"), ("float.tif", "floating-point")):
        with pytest.raises(ImageFileError, match=reason):
            read_image(tmp_path / name, "RGB")
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path, "RGB")


def png(height: int, width: int, rows: bytes) -> bytes:
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + rows, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("size", [14_200, 9_000, 10**6])
def test_a_size_that_is_too_large_or_a_lie_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "huge.png").write_bytes(png(size, size, zlib.compress(b"nothing")))
    bitmap = bytearray(saved(Image.fromarray(SCENE), tmp_path / "huge.bmp").read_bytes())
    bitmap[18:26] = struct.pack("<ii", size, size)
    (tmp_path / "huge.bmp").write_bytes(bitmap)
    reads = ((read_image, "huge.png"), (read_image, "huge.bmp"), (read_segment_ids, "huge.png"))
    for read, name in reads:
        with pytest.raises(ImageFileError, match=r"huge.*(at most|corrupt|truncated|exceeds)") as caught:
            read(tmp_path / name, *(["RGB"] if read is read_image else []))  # type: ignore[operator]
        assert "\n" not in str(caught.value)
    assert MAX_PIXELS < 14_200**2


def test_segment_ids_are_colours_and_classes_are_grey_values(tmp_path: Path) -> None:
    ids = np.arange(48 * 64).reshape(48, 64) * 9
    rgb = np.dstack((ids & 255, ids >> 8 & 255, ids >> 16)).astype(np.uint8)
    path = tmp_path / "ids.png"
    for image in (rgb, np.dstack((rgb, np.zeros((48, 64), np.uint8)))):
        saved(Image.fromarray(image), path)
        check_segment_ids(path)
        assert np.array_equal(read_segment_ids(path), ids)
    assert np.array_equal(read_classes(saved(Image.fromarray(GRAY), path)), GRAY)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: saved(Image.fromarray(SCENE).convert("P"), path), "8 bits with a palette"),
        (lambda path: saved(Image.fromarray(GRAY), path), "8 bits grey"),
        (lambda path: saved(Image.fromarray(GRAY.astype(np.uint16)), path), "16 bits grey"),
        (lambda path: saved(Image.fromarray(SCENE).convert("LA"), path), "8 bits grey with alpha"),
        (lambda path: cv2.imwrite(str(path), SCENE.astype(np.uint16)), "16 bits RGB"),
    ],
)
def test_png_files_that_hold_no_segment_ids_are_refused(
    tmp_path: Path, make: Callable[[Path], object], found: str
) -> None:
    make(tmp_path / "ids.png")
    for read in (read_segment_ids, check_segment_ids):
        with pytest.raises(ImageFileError, match=rf"ids\.png is a PNG of {found}, not 8-bit RGB"):
            read(tmp_path / "ids.png")


def test_other_files_hold_no_segment_ids(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "colours.png"), SCENE)
    with pytest.raises(ImageFileError, match=r"colours\.png is a PNG of 8 bits RGB, not 8-bit grey"):
        read_classes(tmp_path / "colours.png")
    (tmp_path / "text.png").write_text("no image")
    for name, reason in (("text.png", "not a PNG"), ("missing.png", "is missing")):
        for read in (read_segment_ids, check_segment_ids, read_classes):
            with pytest.raises(ImageFileError, match=reason):
                read(tmp_path / name)
