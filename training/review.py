# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Review labels: write the page, export labels for an annotation tool, and import corrections.

See `python -m training.review --help`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.arguments import positive_int
from ciae_ros.core.command_errors import report_failure
from training.labeling.corrections import WRITERS, export_labels, import_labels
from training.labeling.review_page import write_review_page

NAMES_SHOWN = 5


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0, or 1 if something cannot be read or written."""
    options = _parse(argv)
    try:
        return int(options.run(options))
    except (ValueError, OSError) as error:
        return report_failure("review", error)


def _page(options: argparse.Namespace) -> int:
    print(f"review: {write_review_page(options.folder)}")
    return 0


def _export(options: argparse.Namespace) -> int:
    print(f"written: {export_labels(options.folder, options.output, options.tool, options.count)}")
    return 0


def _import(options: argparse.Namespace) -> int:
    report = import_labels(options.folder, options.file)
    print(f"imported: the labels of {len(report.imported)} images")
    print(f"review: {write_review_page(options.folder)}")
    if report.unknown:
        shown = ", ".join(report.unknown[:NAMES_SHOWN])
        print(f"review: {len(report.unknown)} images are not in the data set: {shown}", file=sys.stderr)
    return 1 if report.unknown or not report.imported else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.review",
        description="Review a data set that `python -m training.label` has written.",
        epilog="example: python -m training.review export out/labels out/for_cvat --tool cvat --count 50",
    )
    commands = parser.add_subparsers(required=True)
    page = commands.add_parser("page", help="write review.html: the least certain frames first")
    page.set_defaults(run=_page)
    export = commands.add_parser("export", help="write labels for an annotation tool, the least certain images first")
    export.set_defaults(run=_export)
    load = commands.add_parser("import", help="replace labels by corrected ones")
    load.set_defaults(run=_import)
    for command in (page, export, load):
        command.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    export.add_argument("output", type=Path, metavar="OUTPUT", help="folder to write")
    export.add_argument("--tool", choices=WRITERS, required=True)
    export.add_argument("--count", type=positive_int, metavar="N", help="only the N least certain images")
    load.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".xml or .zip of CVAT (CVAT for images 1.1), .json of Label Studio, or .json in COCO's panoptic format",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
