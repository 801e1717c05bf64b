#!/usr/bin/env bash
# Takes five minutes, a release build and curl: what it costs that people look. Three servers in turns, one without
# --http, one with it that no visitor asks, and one whose page is open three times and whose metrics are read each
# second, under four loads: prints the rates of the second and third as shares of the first, medians of the rounds.
# Then the share of a core that an idle server with 10,000 members takes, without and with these visitors.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${ROUNDS:-9}" each="${EACH:-2s}" members="${MEMBERS:-10000}" idle="${IDLE:-30}"
command -v curl >/dev/null || { echo "skipped: curl is not installed" >&2; exit 0; }
. tests/support/bench.sh
ulimit -n "$(ulimit -Hn)"

start() { # A name, how many clients, and options: sets NAME_at, NAME_pid, and NAME_page if it has one.
    : >"$work/$1"
    RUST_LOG=warn "$bin/pecking-server" "$2" --listen 127.0.0.1:0 --quiet "${@:3}" >>"$work/$1" &
    started+=($!)
    until grep -q '^Listening on' "$work/$1" && { [ $# -lt 3 ] || grep -q '^Shown at' "$work/$1"; }; do sleep 0.05; done
    eval "$1_pid=$! $1_at=$(sed -n 's/^Listening on //p' "$work/$1") $1_page=$(sed -n 's/^Shown at //p' "$work/$1")"
}
visit() { # A page: opens it three times, and reads the metrics each second.
    for _ in 1 2 3; do
        curl -sN "${1}api/v1/events" >/dev/null &
        started+=($!)
    done
    (while sleep 1; do curl -s "${1}metrics" >/dev/null; done) &
    started+=($!)
}

start off 200
start unseen 200 --http 127.0.0.1:0
start open 200 --http 127.0.0.1:0
visit "$open_page"
loads=("" "--window 256" "--pairs 16 --window 16" "--fan-out 100")
for load in "${loads[@]}"; do
    rm -f "$work"/rate.* "$work"/share.*
    for _ in $(seq "$rounds"); do
        for server in off unseen open; do
            declare -n at=${server}_at
            # shellcheck disable=SC2086
            "$bin/pecking" bench --server "$at" --duration "$each" --json $load |
                sed -n 's/.*"commands_per_s": \([0-9.]*\),/\1/p' >"$work/rate.$server"
        done
        for server in unseen open; do
            paste "$work/rate.$server" "$work/rate.off" | awk '{ printf "%.4f\n", $1 / $2 }' >>"$work/share.$server"
        done
    done
    printf '%-24s with --http %s, with three pages %s\n' "${load:-one at a time}:" \
        "$(median <"$work/share.unseen")" "$(median <"$work/share.open")"
done

# Hundredths of a second of processor time.
taken() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
share() { # What it is, and of which process.
    local from
    from=$(taken "$2")
    sleep "$idle"
    awk -v t="$(($(taken "$2") - from))" -v s="$idle" -v w="$1" \
        'BEGIN { printf "%-24s %.2f %% of a core\n", w, t / s }'
}
# Heartbeats of thousands cost the same with and without: 4 % of a core for 10,000.
start crowd "$((members + 10))" --http 127.0.0.1:0 --heartbeat 10m
# Next to nothing: one command at a time, of a sixth of the time after which a bench takes its server for gone.
"$bin/pecking" bench --server "$crowd_at" --idle "$members" --warm-up 0s --count 1000 --run 'sleep 5' >/dev/null &
started+=($!)
bench=$!
until [ "$(curl -s "${crowd_page}metrics" | awk '/^pecking_running/ { n += $2 } END { print n + 0 }')" = 1 ]; do
    kill -0 "$bench" || { echo "the members have left" >&2; exit 1; }
    sleep 0.2
done
sleep 2
share "$members members:" "$crowd_pid"
visit "$crowd_page"
sleep 5
share "with three pages:" "$crowd_pid"
