#!/usr/bin/env bash
# Takes about half a minute, and a release build: what one pair at full speed does to another pair that has one command
# open at a time. Prints p99 in microseconds, alone and beside it, medians of the rounds, and their ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${ROUNDS:-5}" count="${COUNT:-10000}" window="${WINDOW:-256}"
[ -n "${NO_BUILD:-}" ] || cargo build --quiet --release --bins
bin="${CARGO_TARGET_DIR:-target}/release"

work=$(mktemp -d)
started=()
clean_up() {
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

export RUST_LOG=warn
"$bin/server" 16 --listen 127.0.0.1:0 --quiet >"$work/server" &
started+=($!)
until [ -s "$work/server" ]; do sleep 0.05; done
PECKING_SERVER=$(grep -o '127\.0\.0\.1:[0-9]*' "$work/server")
export PECKING_SERVER

p99() {
    "$bin/client" bench --count "$count" --json | grep -o '"p99": [0-9.]*' | cut -d' ' -f2
}
median() { sort -n | sed -n "$((rounds / 2 + 1))p"; }

for _ in $(seq "$rounds"); do
    p99 >>"$work/alone"
    "$bin/client" bench --window "$window" --count 1000000000 >/dev/null 2>&1 &
    busy=$!
    started+=("$busy")
    sleep 0.5
    p99 >>"$work/beside"
    kill -0 "$busy" || { echo "the pair at full speed has ended" >&2; exit 1; }
    kill "$busy"
    wait "$busy" 2>/dev/null || true
done
alone=$(median <"$work/alone") beside=$(median <"$work/beside")
awk -v a="$alone" -v b="$beside" 'BEGIN { printf "p99 alone: %.0f us; beside a pair at full speed: %.0f us; ratio %.2f\n", a, b, b / a }'
