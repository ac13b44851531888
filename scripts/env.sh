# shellcheck shell=bash
# Source in bash: Python, ROS 2 and the messages of this checkout, as `make` uses them.
_ciae_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$_ciae_root/.venv/bin/activate"
_ciae_mode="$(cut -d, -f1 "$_ciae_root/.venv/.finished/mode")"
if [[ "$_ciae_mode" == wheels* ]]; then
  # The wheels keep their packages in the environment itself, and have no script that sets the distribution.
  export AMENT_PREFIX_PATH="$_ciae_root/.venv" ROS_DISTRO="${_ciae_mode#wheels }"
fi
# shellcheck source=/dev/null
source "$_ciae_root/install/local_setup.bash"
# By default Fast DDS loses images between processes (see the file). Jazzy's version knows the older name.
if [[ "${ROS_DISTRO:-}" == jazzy ]]; then
  export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_ciae_root/config/fastdds.xml}"
else
  export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$_ciae_root/config/fastdds.xml}"
fi
unset _ciae_root _ciae_mode
