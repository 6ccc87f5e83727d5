#!/usr/bin/env bash
# npm test: installs packages if needed and runs the whole suite. Arguments go to Vitest. The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source docker/install.sh
require_node
start_install
finish_install

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
node_modules/.bin/vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" </dev/null || status=$?
node_modules/.bin/tsx test/tally.ts "$report" "$status"
