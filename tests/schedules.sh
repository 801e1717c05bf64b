#!/usr/bin/env bash
# Takes two minutes, and some more to build: 12,500 schedules of each of the twelve scenes, 150,000
# in all. `tests/schedules.sh 1000000` takes a million of each. A failure prints its schedule, for
# `shuttle::replay`.
set -euo pipefail
cd "$(dirname "$0")/.."
export SCHEDULES=${1:-12500}
# In a folder of its own, as everything is built with another kind of lock. The explorer takes
# every order for the strictest, and would say so once for each scene.
export RUSTFLAGS="--cfg shuttle" SHUTTLE_SILENCE_WARNINGS=1
export CARGO_PROFILE_TEST_OPT_LEVEL=1 CARGO_PROFILE_DEV_OPT_LEVEL=1
exec cargo test --locked --target-dir target/shuttle -p common -p server --lib schedules
