# shellcheck shell=bash
# Shared by ./check and ./quickstart: packages, configuring, messages. Source it with bash from the repository root.

# say TEXT: print a headline for the next step.
say() { printf '\n== %s\n' "$*"; }

# die TEXT: print one sentence on stderr, after the name of the script, and exit with code 1.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# packages_for PURPOSE...: the packages of scripts/packages for these purposes, one per line.
packages_for() {
  local purpose
  for purpose in "$@"; do
    awk -v purpose="$purpose" '{ sub(/#.*/, "") } $1 == purpose { for (i = 2; i <= NF; i++) print $i }' scripts/packages
  done
}

# have_package NAME: is it installed, and at least as new as scripts/packages demands?
have_package() {
  local state version wanted
  read -r state version < <(dpkg-query --show --showformat='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null)
  wanted=$(awk -v name="$1" '{ sub(/#.*/, "") } $1 == "at-least" && $2 == name { print $3 }' scripts/packages)
  [ "$state" = installed ] && { [ -z "$wanted" ] || dpkg --compare-versions "$version" ge "$wanted"; }
}

# missing_packages PURPOSE...: those not installed yet, or too old, on one line.
missing_packages() {
  local package
  local missing=()
  for package in $(packages_for "$@"); do
    have_package "$package" || missing+=("$package")
  done
  printf '%s' "${missing[*]-}"
}

# as_root COMMAND...: run it as root, directly or with passwordless sudo; false if neither is possible.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

# install_or_tell PURPOSE...: install missing packages, upgrade those that are too old; if that is not permitted, print the
# command to run and stop.
install_or_tell() {
  local missing
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system; assuming that these are installed (names of Debian 12):"
    packages_for "$@" | paste -sd ' '
    return
  fi
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then return; fi
  if ! as_root true; then
    echo "Packages are missing, and installing them needs root. Run this line, then try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
    exit 1
  fi
  say "Installing $missing"
  apt_get update || die "apt-get update failed (its message is above); is there a network connection?"
  local log
  log=$(mktemp)
  # shellcheck disable=SC2086 # a list of words
  if ! apt_get install -y --no-install-recommends $missing >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install the packages (its last lines are above)"
  fi
  rm -f "$log"
}

# free_mb: megabytes free on the disk of this folder.
free_mb() { df --output=avail -m . | tail -n 1 | tr -d ' '; }

# configure PRESET: run CMake; from scratch if the folder was moved since the last time. Where ccache is installed,
# what it has compiled before is taken from there, also from a clone in another folder; with CCACHE_DEPEND it does not
# preprocess a file before it compiles it.
configure() {
  local cache="build/$1/CMakeCache.txt"
  local fresh=()
  if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=5G CCACHE_DEPEND=1
    export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
  fi
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then fresh=(--fresh); fi
  cmake --preset "$1" "${fresh[@]}" --log-level=WARNING
}

# minutes SECONDS: "1 min 05 s".
minutes() {
  if [ "$1" -ge 60 ]; then printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); else printf '%d s' "$1"; fi
}
