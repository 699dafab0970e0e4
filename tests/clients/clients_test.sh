#!/usr/bin/env bash
# usage: clients_test.sh AVIARY SOURCE INSTALL [CLIENT...]: trains a small model, serves it, and lets clients of OpenAI's, Anthropic's and
# ollama's interfaces, which npm installs unchanged into the folder INSTALL, talk to it; prints a table. CLIENT: only rows whose name has
# this text. Exit code 77: no node, or the clients cannot be installed.
set -euo pipefail
aviary=$(realpath "$1") source=$2 install=$3
shift 3
skip() { echo "skipped: $1"; exit 77; }
command -v node >/dev/null && command -v npm >/dev/null || skip "node or npm is not installed"
[ "$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ] || skip "node is older than version 20"
mkdir -p "$install"
cp "$source"/tests/clients/{package.json,package-lock.json,.npmrc} "$source"/tests/clients/*.mjs "$install"
cd "$install"
npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=0 --prefer-offline >npm.log 2>&1 ||
  skip "npm cannot install the clients: $(tail -1 npm.log)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node clients.mjs "$aviary" "$work" "$@"
