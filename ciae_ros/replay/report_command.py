# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""`report`: the report of a run that has been made, once more."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.evaluate_command import add_requirements
from ciae_ros.replay.reporting import report_and_judge
from ciae_ros.replay.run_folder import read_run

SUMMARY = "write the report of a finished run again, and check what is required"
EXAMPLE = 'python -m ciae_ros.replay report out/drive --require "pq>=40"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    add_requirements(parser)


def run(options: argparse.Namespace, command: str) -> int:
    """Write the report; 0, 1 if something of the run could not be read, 3 if a requirement does not hold."""
    return report_and_judge(read_run(options.run), options.require)
