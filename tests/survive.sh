#!/usr/bin/env bash
# Takes three and a half minutes, and a build: what the server promises, with its figures, on the release build. Nothing else may run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { cargo test --release --locked "$@" -- --nocapture --test-threads 1; }
tests=()
for test in strangers shortage leaks slow console clock ranks pause; do
    tests+=(--test "survive_$test")
done
run --package server "${tests[@]}" --test wire_drain
run --package client --test survive_silence --test survive_drain
