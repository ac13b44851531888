"""Export a checkpoint to ONNX: see `python -m ciae_ros.export --help`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ciae_ros.export.onnx_export import ExportError, export_onnx
from ciae_ros.inference import Checkpoint, CheckpointError, load_model
from ciae_ros.inference.geometry import image_geometry

DEFAULT_CAMERA = (1080, 1920)


def main(arguments: list[str] | None = None) -> int:
    """Export.

    Returns:
        0, or 1 if the checkpoint cannot be used or exported. Wrong arguments end the program with 2.
    """
    options = _parse_arguments(arguments)
    try:
        checkpoint = load_model(options.checkpoint)
        if options.size:
            checkpoint = _at_input_size(checkpoint, min(options.size))
            size = options.size
        else:
            config = checkpoint.model.config
            size = image_geometry(*options.camera, config.input_size, config.max_input_size).padded
        precision = "fp16" if options.fp16 else "fp32"
        difference = export_onnx(checkpoint, options.onnx, size, precision)
    except (CheckpointError, ExportError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.onnx}: {checkpoint.name} ({checkpoint.digest}), input 1x3x{size[0]}x{size[1]}, {precision}; "
        f"embedding within {difference:.1g} of PyTorch's"
    )
    return 0


def _at_input_size(checkpoint: Checkpoint, input_size: int) -> Checkpoint:
    """For images whose shorter side has that many pixels in the network; the weights are the same."""
    checkpoint.model.config = checkpoint.model.config.at_input_size(input_size)
    return replace(checkpoint)


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.export",
        description="Write a checkpoint as one ONNX file, which panoptic_node takes as its model.",
        epilog="example: python -m ciae_ros.export camvid_light --onnx camvid_light.onnx --camera 1280x720",
    )
    parser.add_argument(
        "checkpoint", help="name of a model that comes with the package, path of a .safetensors file, untrained/PRESET"
    )
    parser.add_argument("--onnx", type=Path, required=True, metavar="OUT", help="the file to write")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--camera",
        type=lambda text: _two_lengths(text)[::-1],
        default=DEFAULT_CAMERA,
        metavar="WIDTHxHEIGHT",
        help="size of the camera's images, as in the parameter expected_sizes (default: 1920x1080)",
    )
    sizes.add_argument(
        "--size",
        type=_two_lengths,
        metavar="HEIGHTxWIDTH",
        help="size of the network's input with its padding, instead; the shorter becomes the model's input_size",
    )
    parser.add_argument("--fp16", action="store_true", help="weights and activations in half precision, for CUDA")
    return parser.parse_args(arguments)


def _two_lengths(text: str) -> tuple[int, int]:
    first, cross, second = text.partition("x")
    if not (cross and first.isdecimal() and second.isdecimal() and int(first) and int(second)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 512x928")
    return int(first), int(second)


if __name__ == "__main__":
    sys.exit(main())
