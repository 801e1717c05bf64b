#!/usr/bin/env bash
# Takes half a minute, and a release build: how soon thousands of clients are back after their server was killed and
# was away for a second, and for eight. CLIENTS=10000 tests/bench_return.sh needs twice as many open files.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --locked --package server --bin pecking-server
# HOLD=hold: with --state, so that all come back to their ranks.
cargo run --quiet --release --locked --package client --example bench_return -- ${HOLD:-} "${CLIENTS:-5000}" "$@"
