# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Export a checkpoint to ONNX: see `python -m ciae_ros.export --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.arguments import image_size
from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import CheckpointError, load_model
from ciae_ros.inference.conversion.errors import ExportError
from ciae_ros.inference.conversion.onnx_export import export_onnx
from ciae_ros.inference.geometry import image_geometry

DEFAULT_CAMERA = (1080, 1920)


def main(arguments: list[str] | None = None) -> int:
    """Export a checkpoint.

    Returns:
        0, or 1 if the checkpoint cannot be used or exported; invalid arguments exit with 2.
    """
    options = _parse_arguments(arguments)
    try:
        checkpoint = load_model(options.checkpoint)
        config = checkpoint.model.config
        height, width = options.camera
        size = options.size or image_geometry(height, width, config.input_size, config.max_input_size).padded
        input_size = min(options.size) if options.size else config.input_size
        precision = "fp16" if options.fp16 else "fp32"
        difference = export_onnx(checkpoint, options.onnx, size, input_size, precision)
    except (CheckpointError, ExportError) as error:
        return report_failure("export", error)
    print(
        f"{options.onnx}: {checkpoint.name} ({checkpoint.digest}), input 1x3x{size[0]}x{size[1]}, {precision}; "
        f"embedding within {difference:.1g} of PyTorch's"
    )
    return 0


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.export",
        description="Export a checkpoint as one ONNX file, which panoptic_node accepts as its model.",
        epilog="example: python -m ciae_ros.export scenes_light --onnx scenes_light.onnx --camera 1280x720",
    )
    parser.add_argument("checkpoint", help="name of a shipped model, path of a .safetensors file, or untrained/PRESET")
    parser.add_argument("--onnx", type=Path, required=True, metavar="OUT", help="the file to write")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--camera",
        type=lambda text: image_size(text)[::-1],
        default=DEFAULT_CAMERA,
        metavar="WIDTHxHEIGHT",
        help="size of the camera's images, as in the parameter expected_sizes (default: 1920x1080)",
    )
    sizes.add_argument(
        "--size",
        type=image_size,
        metavar="HEIGHTxWIDTH",
        help="size of the network's input including padding; the shorter side becomes the model's input_size",
    )
    parser.add_argument("--fp16", action="store_true", help="weights and activations in half precision, for CUDA")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
