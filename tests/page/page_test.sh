#!/usr/bin/env bash
# usage: page_test.sh AVIARY SOURCE INSTALL [TEXT]: checks the page's types, trains a small model, serves it, and uses the page in a
# browser, as people do; TEXT: only checks whose name has it. Exit code 77: no node, no chromium, or npm cannot install what is needed.
set -euo pipefail
aviary=$(realpath "$1") source=$(realpath "$2") install=$3
shift 3
skip() { echo "skipped: $1"; exit 77; }
command -v node >/dev/null && command -v npm >/dev/null || skip "node or npm is not installed"
[ "$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ] || skip "node is older than version 20"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
  skip "chromium is not installed (Debian package chromium)"
mkdir -p "$install/page"
cp "$source"/tests/page/{package.json,package-lock.json,.npmrc} "$source"/tests/page/*.mjs "$source"/tests/clients/server.mjs "$install"
cp -r "$source"/page/{src,package.json,package-lock.json,.npmrc,tsconfig.json} "$install/page"
install_with_npm() { npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=0 --prefer-offline >npm.log 2>&1; }
(cd "$install/page" && install_with_npm) || skip "npm cannot install the page's packages: $(tail -1 "$install/page/npm.log")"
cd "$install"
install_with_npm || skip "npm cannot install the browser's driver: $(tail -1 npm.log)"
node_modules/.bin/tsc -p page
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node page_test.mjs "$aviary" "$work" "$@"
