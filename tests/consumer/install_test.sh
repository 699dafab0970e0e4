#!/usr/bin/env bash
# usage: install_test.sh BUILD_FOLDER CXX MODEL: installs the build, then builds the consumer with CMake and with pkg-config and runs it on MODEL.
set -euo pipefail
build=$1
cxx=$2
model=$3
consumer=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >/dev/null
# The installed files must not depend on the location.
mv "$work/first" "$work/prefix"
lib=$(dirname "$(find "$work/prefix" -name libaviary.so)")

echo "-- with CMake"
cmake -S "$consumer" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$work/prefix" --log-level=WARNING
cmake --build "$work/build"
"$work/build/consumer" "$model"

echo "-- with pkg-config"
export PKG_CONFIG_PATH=$lib/pkgconfig
read -ra flags < <(pkg-config --cflags --libs aviary)
"$cxx" -std=c++20 "$consumer/main.cpp" "${flags[@]}" -Wl,-rpath,"$lib" -o "$work/with-pkg-config"
"$work/with-pkg-config" "$model"

echo "-- nothing of the build is left inside"
if grep -rIl -e "$build" -e "$work" "$work/prefix"; then
  echo "the files above name folders of this machine" >&2
  exit 1
fi
