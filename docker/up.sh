#!/usr/bin/env bash
# npm run up: from a fresh clone to a running server. Installs packages, builds, fetches and imports the default base model, starts the
# server with the sample adapters. Steps that are done already are skipped. Arguments go to `lorikeet serve`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source docker/install.sh

readonly MODEL=smollm2-135m-instruct

build_is_current() {
  [[ -f dist/main.js && -z $(find src package.json tsconfig.json tsconfig.build.json -newer dist/main.js -print -quit) ]]
}

build() {
  if build_is_current; then return; fi
  echo "Building…"
  node_modules/.bin/tsc -p tsconfig.build.json
  touch dist/main.js
}

# model.json is written last: an interrupted import has none.
model_is_imported() {
  [[ -f ${LORIKEET_MODELS_DIR:-models}/$MODEL/model.json ]]
}

pull_model() {
  if model_is_imported; then return; fi
  command -v python3 >/dev/null || echo "python3 is missing: the model can be fetched from the hub only" >&2
  echo "Fetching and importing $MODEL (98 MB)…"
  node dist/main.js pull "$MODEL"
}

require_node
start_install
build
if [[ " $* " != *" --model"[\ =]* && -z ${LORIKEET_MODEL:-} ]]; then pull_model; fi
finish_install
exec node dist/main.js serve "$@"
