#!/usr/bin/env bash
# Run by industrial_ci in its container, before it builds the workspace: install what rosdep lacks, and select the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The container is thrown away, so that no virtual environment is needed. Ubuntu 24.04's messages need NumPy 1.
install=(python3 -m pip install --break-system-packages --ignore-installed)
requirements=(--requirement requirements.txt)
if python3 -c 'import numpy; raise SystemExit(numpy.__version__ >= "2")'; then
  requirements+=(--requirement requirements-numpy1.txt)
fi
"${install[@]}" "${requirements[@]}" hypothesis packaging psutil "pytest>=7.4" pytest-timeout
"${install[@]}" --no-deps --requirement requirements-no-deps.txt

# What depends on the distribution; the workflow tests the rest with wheels.
mkdir -p ~/.colcon
cat >~/.colcon/defaults.yaml <<'EOF'
test:
  pytest-args: ["tests/node", "tests/launch", "tests/examples"]
EOF
