#!/usr/bin/env bash
# Takes about half a minute, and a release build: what one pair at full speed does to another pair that has one command
# open at a time. Prints p99 in microseconds, alone and beside it, medians of the rounds, and their ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${ROUNDS:-5}" count="${COUNT:-10000}" window="${WINDOW:-256}"
. tests/support/bench.sh
start_server 16

p99() {
    "$bin/pecking" bench --count "$count" --json | grep -o '"p99": [0-9.]*' | cut -d' ' -f2
}

for _ in $(seq "$rounds"); do
    p99 >>"$work/alone"
    "$bin/pecking" bench --window "$window" --count 1000000000 >/dev/null 2>&1 &
    busy=$!
    started+=("$busy")
    sleep 0.5
    p99 >>"$work/beside"
    kill "$busy" || { echo "the pair at full speed has ended" >&2; exit 1; }
    wait "$busy" 2>/dev/null || true
done
alone=$(median <"$work/alone") beside=$(median <"$work/beside")
awk -v a="$alone" -v b="$beside" 'BEGIN {
    printf "p99 alone: %.0f us; beside a pair at full speed: %.0f us; ratio %.2f\n", a, b, b / a }'
