# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images and videos as people have them: all frames are read at their times, or a line says what is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.camera.frames import Frame, SourceError
from ciae_ros.camera.image_source import open_source

REGULAR = [0.04 * number for number in range(25)]
VARIABLE = [0.0, 0.04, 0.08, 0.2, 0.6, 0.64, 1.5, 1.54, 1.6, 3.0]
SIZE = (160, 120)


def picture(number: int) -> np.ndarray:
    pixels = np.full((SIZE[1], SIZE[0], 3), 60, np.uint8)
    cv2.circle(pixels, (20 + 5 * number, 60), 15, (40, 200, 240), -1)
    return pixels


def write_video(
    path: Path,
    codec: str,
    times: Sequence[float],
    pixel_format: str = "yuv420p",
    time_base: Fraction = Fraction(1, 1000),
    **options: str,
) -> Path:
    """Encode a video with the given times in seconds; its container is that of the suffix."""
    av = pytest.importorskip("av", reason="needs requirements-dev.txt")
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixel_format
        stream.codec_context.time_base = time_base
        for number, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24").reformat(format=pixel_format)
            frame.pts, frame.time_base = round(seconds / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path) -> tuple[list[Frame], list[str]]:
    """Return the frames and the lines that are reported."""
    lines: list[str] = []
    frames = list(open_source(str(path), lines.append).frames)
    assert all("\n" not in line and str(path) in line for line in lines)
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    assert all(after.seconds > before.seconds for before, after in pairwise(frames))
    return frames, lines


def shows(frame: Frame, number: int) -> bool:
    return float(np.abs(cv2.resize(frame.pixels, SIZE).astype(int) - picture(number)).mean()) < 12


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "times"),
    [
        ("regular.mp4", "libx264", "yuv420p", REGULAR),
        ("variable.mp4", "libx264", "yuv420p", VARIABLE),
        ("variable.mkv", "libx264", "yuv420p", VARIABLE),
        ("hevc.mp4", "libx265", "yuv420p", REGULAR),
        ("ten bits.mp4", "libx265", "yuv420p10le", REGULAR),
        ("vp9.webm", "libvpx-vp9", "yuv420p", REGULAR[:8]),
        ("a:b %03d #1.mp4", "libx264", "yuv420p", REGULAR[:8]),
    ],
)
def test_every_frame_of_a_video_has_its_own_time(
    tmp_path: Path, name: str, codec: str, pixel_format: str, times: list[float]
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    frames, lines = read(write_video(tmp_path / name, codec, times, pixel_format, **options))
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=0.002)
    assert all(shows(frame, number) for number, frame in enumerate(frames))
    assert lines == []


def test_an_animation_and_motion_jpeg_are_videos(tmp_path: Path) -> None:
    times = [0.1 * number for number in range(8)]
    frames, lines = read(write_video(tmp_path / "a.gif", "gif", times, "rgb8", Fraction(1, 100)))
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=0.002)
    assert lines == []
    frames, lines = read(write_video(tmp_path / "a.avi", "mjpeg", REGULAR, "yuvj420p", Fraction(1, 25)))
    assert [frame.seconds for frame in frames] == pytest.approx(REGULAR, abs=0.002)
    assert lines == []


@pytest.mark.parametrize("name", ["raw.h264", "raw.mjpeg"])
def test_raw_streams_have_an_assumed_rate(tmp_path: Path, name: str) -> None:
    codec, pixel_format = ("libx264", "yuv420p") if name == "raw.h264" else ("mjpeg", "yuvj420p")
    frames, lines = read(write_video(tmp_path / name, codec, REGULAR, pixel_format, Fraction(1, 25)))
    assert [frame.seconds for frame in frames] == pytest.approx(REGULAR, abs=0.002)
    assert len(lines) == 1
    assert "no usable timestamps: 25 images/s are assumed" in lines[0]


def test_an_impossible_rate_is_replaced_and_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wrong.avi", "mjpeg", [0.001 * i for i in range(9)], "yuvj420p")
    data = bytearray(path.read_bytes())
    header = data.index(b"strh")
    scale = header + 8 + 20
    data[scale : scale + 8] = (1).to_bytes(4, "little") + (90_000).to_bytes(4, "little")
    path.write_bytes(data)
    frames, lines = read(path)
    assert [frame.seconds for frame in frames] == pytest.approx(REGULAR[:9], abs=0.002)
    assert len(lines) == 1
    assert "25 images/s are assumed" in lines[0]


def test_a_phone_video_is_turned_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "turned.mp4", "libx264", REGULAR[:5])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    quarter_turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[1] << 16, 0, 1 << 30)
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter_turn)
    path.write_bytes(data)
    frames, _ = read(path)
    assert {frame.pixels.shape for frame in frames} == {(SIZE[0], SIZE[1], 3)}


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi"])
def test_a_truncated_video_is_read_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name == "cut.mkv" else "mjpeg"
    pixel_format = "yuv420p" if name == "cut.mkv" else "yuvj420p"
    path = write_video(tmp_path / name, codec, REGULAR, pixel_format, Fraction(1, 25), g="1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, lines = read(path)
    assert 5 < len(frames) < 20
    assert all(shows(frame, number) for number, frame in enumerate(frames))
    assert len(lines) == 1
    assert re.search(rf"truncated or damaged: {len(frames)} of about 2[45] images", lines[0])


def test_a_video_has_its_own_rate_and_all_frames(data: Path) -> None:
    source = open_source(str(data / "video" / "udacity_vehicle_test_video.mp4"), pytest.fail)
    assert source.rate == pytest.approx(25, abs=1)
    assert not source.is_live
    assert len(list(source.frames)) == source.length == 38


def test_invalid_videos_are_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", "libx264", REGULAR).read_bytes()
    for content, reason in ((b"no video", "not a video"), (b"", "is empty"), (whole[:3000], "truncated")):
        (tmp_path / "broken.mp4").write_bytes(content)
        with pytest.raises(SourceError, match=rf"broken\.mp4 .*{reason}"):
            read(tmp_path / "broken.mp4")


def test_an_invalid_video_is_reported_by_one_line_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    # In its own process, because FFmpeg reads its level once, when the first video is opened.
    code = "import sys; from ciae_ros.camera.image_source import open_source; open_source(sys.argv[1], print)"
    command = [sys.executable, "-c", code, str(tmp_path / "broken.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    *traceback, last = done.stderr.splitlines()
    assert "is not a video" in last
    assert all(line.startswith(("Traceback", " ")) for line in traceback), done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different sizes whose names give their order, and a hidden file of another system."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20 + number, 30, 3), 80 * number, np.uint8))
    (tmp_path / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "3.png").mkdir()
    return tmp_path


def test_a_folder_is_read_in_the_order_of_names(folder: Path) -> None:
    assert open_source(str(folder), pytest.fail).length == 3
    frames, lines = read(folder)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 80, 160]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert [len(frame.pixels) for frame in frames] == [20, 21, 22]
    assert lines == []


def test_what_is_left_out_of_a_folder_is_reported(folder: Path) -> None:
    jpeg = cv2.imencode(".jpg", cv2.resize(picture(0), (640, 480)))[1].tobytes()
    (folder / "1.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "notes.txt").write_text("no image")
    frames, lines = read(folder)
    assert [frame.number for frame in frames] == [0, 2, 3]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.2, 0.3])
    assert len(lines) == 2
    assert "notes.txt, which is no image" in lines[0]
    assert "1.jpg" in lines[1]


def test_images_with_an_orientation_are_read_as_stored_and_reported(folder: Path) -> None:
    from PIL import Image  # noqa: PLC0415

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(folder / "4.jpg", exif=exif.tobytes())
    frames, lines = read(folder)
    assert frames[-1].pixels.shape[:2] == (SIZE[1], SIZE[0])
    assert len(lines) == 1
    assert "1 of 4 images" in lines[0]
    assert "4.jpg" in lines[0]


def test_a_single_image_is_a_source_of_one_frame(folder: Path) -> None:
    frames, lines = read(folder / "1.png")
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [80]
    assert lines == []


def test_folders_without_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no image"):
        read(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines: list[str] = []
    with pytest.raises(SourceError, match=r"no image in .* can be decoded"):
        list(open_source(str(tmp_path), lines.append).frames)
    assert len(lines) == 1
    for source in ("", "/no/such/file"):
        with pytest.raises(SourceError, match="does not exist"):
            open_source(source, pytest.fail)
