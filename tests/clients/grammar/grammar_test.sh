#!/usr/bin/env bash
# usage: grammar_test.sh HELPER SOURCE INSTALL: validates 1,000 texts of random schemas with ajv, which npm installs into the
# folder INSTALL without running scripts. Exit code 77: no node, or ajv cannot be installed.
set -euo pipefail
helper=$1 source=$2 install=$3
skip() { echo "skipped: $1"; exit 77; }
command -v node >/dev/null && command -v npm >/dev/null || skip "node or npm is not installed"
mkdir -p "$install"
cp "$source"/tests/clients/grammar/{package.json,package-lock.json,.npmrc,check.mjs} "$install"
cd "$install"
npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=0 >npm.log 2>&1 || skip "npm cannot install ajv: $(tail -1 npm.log)"
node check.mjs "$helper" 1000
