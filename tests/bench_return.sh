#!/usr/bin/env bash
# Takes half a minute, and a release build: how soon thousands of clients are back after their server was killed and
# was away for a second, and for eight. CLIENTS=10000 tests/bench_return.sh needs twice as many open files. With TLS=1
# connections are encrypted, and each client shows a certificate: all the same one, which costs the server as much.
# With HOLD=1 the server keeps its state, so that all come back to their ranks. With ELSEWHERE=1 the pair that measures
# what a command takes meanwhile has a server of its own: what it feels then is the machine alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/bench.sh
options=()
if [ -n "${TLS:-}" ]; then
    dir="$work/pki"
    "$bin/pecking-server" init "$dir" --name localhost >/dev/null
    "$bin/pecking-server" tls issue "$dir" agent >/dev/null
    "$bin/pecking-server" auth revoke "$dir/auth.toml" agent >/dev/null
    "$bin/pecking-server" auth add "$dir/auth.toml" --id agent --role agent --cert pecking:agent >/dev/null
    options=(--dir "$dir")
fi
if [ -n "${HOLD:-}" ]; then
    options+=(hold)
fi
if [ -n "${ELSEWHERE:-}" ]; then
    options+=(elsewhere)
fi
cargo run --quiet --release --locked --package client --example bench_return -- "${options[@]}" "${CLIENTS:-5000}" "$@"
