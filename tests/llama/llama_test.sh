#!/usr/bin/env bash
# usage: llama_test.sh AVIARY HELPER SOURCE INSTALL: loads files written by Aviary in real llama.cpp, which npm installs into the folder
# INSTALL without running scripts. Exit code 77: no node, or llama.cpp cannot be installed or run.
set -euo pipefail
aviary=$1 helper=$2 source=$3 install=$4
skip() { echo "skipped: $1"; exit 77; }
command -v node >/dev/null && command -v npm >/dev/null || skip "node or npm is not installed"
[ "$(uname -sm)" = "Linux x86_64" ] || skip "the package of llama.cpp is for Linux on x86-64"
mkdir -p "$install"
cp "$source"/tests/llama/{package.json,package-lock.json,.npmrc,llama.mjs} "$install"
cd "$install"
# Not `npm ci`: it requires the optional packages of other systems.
npm install --omit=optional --ignore-scripts --no-audit --no-fund --fetch-retries=0 >npm.log 2>&1 ||
  skip "npm cannot install llama.cpp: $(tail -1 npm.log)"
start='import("node-llama-cpp").then((m) => m.getLlama({gpu: false, build: "never", skipDownload: true}))'
node -e "$start.then(() => process.exit(0), (e) => { console.error(e.message); process.exit(1); })" >start.log 2>&1 ||
  skip "llama.cpp does not start: $(tail -1 start.log)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node llama.mjs "$aviary" "$helper" "$source" "$work"
