#!/usr/bin/env bash
# Takes six minutes, and a build: 20,000 random walks of 100 steps each, on the release build. `tests/walk.sh 100000`
# takes so many. A failure says how to take that walk again.
set -euo pipefail
cd "$(dirname "$0")/.."
export WALK_CASES=${1:-20000}
exec cargo test --release --locked --package server --test walk -- --nocapture
