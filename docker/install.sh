#!/usr/bin/env bash
# Sourced by up.sh and test/run.sh: checks the machine's tools and installs packages when node_modules is missing or out of date.
# better-sqlite3 may have to be compiled; that runs in the background, so that a build or a download can go on meanwhile.

native_build_pid=

fail() {
  echo "lorikeet: $1" >&2
  exit 1
}

require_node() {
  command -v node >/dev/null || fail "Node.js is missing; install version 20.19 or newer"
  node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
    fail "Node.js $(node --version) is too old; install version 20.19 or newer"
}

# npm writes node_modules/.package-lock.json last, so an interrupted install counts as none.
packages_are_current() {
  [[ node_modules/.package-lock.json -nt package-lock.json ]]
}

# Opens a database in memory: a binary of another Node version counts as missing.
native_is_built() {
  node -e 'new (require("better-sqlite3"))(":memory:")' 2>/dev/null
}

start_install() {
  if ! packages_are_current; then
    echo "Installing packages…"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    touch node_modules/.package-lock.json
  fi
  if ! native_is_built; then
    echo "Building better-sqlite3 in the background (up to 90 s where no prebuilt binary can be fetched)…"
    npm rebuild better-sqlite3 --loglevel=error >node_modules/.better-sqlite3.log 2>&1 &
    native_build_pid=$!
  fi
}

finish_install() {
  [[ -n $native_build_pid ]] || return 0
  wait "$native_build_pid" || true
  native_is_built || fail "better-sqlite3 could not be built, see node_modules/.better-sqlite3.log; it needs python3, make and a C++ compiler"
}
