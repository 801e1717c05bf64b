#!/usr/bin/env bash
# Takes three and a half minutes, and a build: what the server promises, with its figures, on the release build. Nothing else may run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { cargo test --release --locked --package "$1" --test "$2" -- "${@:3}" --nocapture --test-threads 1; }
run server survive
run server wire drain::
run client survive_clients drain:: silence::
