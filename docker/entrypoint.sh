#!/usr/bin/env bash
# Run a command in the workspace of the image.
set -eo pipefail
# shellcheck source=/dev/null
source /opt/ciae_ros/install/setup.bash # It also sources the distribution, in which it was built.
exec "$@"
