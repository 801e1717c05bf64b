#!/usr/bin/env bash
# Takes twelve minutes, and a build: 2,000 clients killed and 20 restarts of the server, under load;
# then the plug of each of seven connections is pulled every ten seconds for ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export SURVIVE_KILLS="${SURVIVE_KILLS:-2000}" SURVIVE_RESTARTS="${SURVIVE_RESTARTS:-20}"
export PLUGS_EVERY_MS="${PLUGS_EVERY_MS:-10000}" PLUGS_FOR_S="${PLUGS_FOR_S:-600}"
exec cargo test --release --locked --package client --test survive_clients -- deaths:: plugs:: --nocapture --test-threads 1
