#!/usr/bin/env bash
# Run all tests, three at a time, because many wait for other processes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A killed run may have left processes that still publish, and shared memory that blocks communication.
python -m tests.leftovers

OMP_NUM_THREADS=1 exec pytest --numprocesses 3 --dist worksteal "$@"
