#!/usr/bin/env bash
# All tests: first those that share the machine well, three at a time, for many wait for processes of theirs; then those
# that mind what else it does.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly NONE_SELECTED=5

run() {
  pytest "$@"
  local code=$?
  [[ $code == "$NONE_SELECTED" ]] && return
  return $code
}

code=0
OMP_NUM_THREADS=1 run -m "not alone" --numprocesses 3 --dist worksteal "$@" || code=$?
run -m alone "$@" || code=$?
exit $code
