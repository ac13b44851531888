#!/usr/bin/env bash
# All tests, three at a time, for many wait for processes of theirs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A run that was killed may have left processes that talk on, and shared memory that makes others deaf.
python -m tests.leftovers

OMP_NUM_THREADS=1 exec pytest --numprocesses 3 --dist worksteal "$@"
