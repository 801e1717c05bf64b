#!/usr/bin/env bash
# Takes two minutes, and a build: 2,000 clients killed and 20 restarts of the server, under load.
set -euo pipefail
cd "$(dirname "$0")/.."
export SURVIVE_KILLS="${SURVIVE_KILLS:-2000}" SURVIVE_RESTARTS="${SURVIVE_RESTARTS:-20}"
exec cargo test --release --locked --package client --test survive_clients -- deaths:: --nocapture --test-threads 1
