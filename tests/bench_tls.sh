#!/usr/bin/env bash
# Takes a minute, and a release build: one command at a time, 256 open, large results, and the memory of an idle
# connection, over TLS against the same in the clear, in turns on one machine. Prints what `pecking bench` prints.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${ROUNDS:-3}" idle="${IDLE:-1000}"
. tests/support/bench.sh
"$bin/pecking-server" init "$work/pki" --name localhost >/dev/null

start() { # Where its address goes, and options of the server.
    RUST_LOG=warn "$bin/pecking-server" "$((idle + 100))" --listen 127.0.0.1:0 --quiet "${@:2}" >"$work/$1" &
    started+=($!)
    until [ -s "$work/$1" ]; do sleep 0.05; done
    grep -o '127\.0\.0\.1:[0-9]*' "$work/$1"
}
resident() { awk '/VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }
threads() { ls "/proc/$1/task" | wc -l; }

# Not in a subshell, which would hide what was started.
start plain >"$work/plain.at" && plain=("$(<"$work/plain.at")") plain_pid=${started[-1]}
start tls --cert "$work/pki/server.pem" --key "$work/pki/server.key" >"$work/tls.at"
tls=("tls://$(<"$work/tls.at")" --ca "$work/pki/ca.pem" --server-name localhost) tls_pid=${started[-1]}

for _ in $(seq "$rounds"); do
    for load in "" "--window 256" "--window 8 --result 256KiB"; do
        for carrier in plain tls; do
            declare -n address=$carrier
            echo "$carrier $load"
            # shellcheck disable=SC2086
            "$bin/pecking" bench --server "${address[@]}" --duration 3s $load | grep -E "rate|latency"
        done
    done
done

for carrier in plain tls; do
    declare -n address=$carrier pid=${carrier}_pid
    before=$(resident "$pid")
    "$bin/pecking" bench --server "${address[@]}" --idle "$idle" --duration 60s >/dev/null &
    started+=($!)
    until [ "$(threads "$pid")" -gt "$idle" ]; do sleep 0.1; done
    sleep 1
    echo "$carrier: $((($(resident "$pid") - before) / idle)) bytes for an idle connection"
done
