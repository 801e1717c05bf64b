#!/usr/bin/env bash
# Takes about ten seconds, and a release build: one line to 50 executors, each of which runs a real program, against
# the same program run 50 times here by `xargs -P`. Prints milliseconds, medians, and their ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
executors="${EXECUTORS:-50}" rounds="${ROUNDS:-15}" program="${PROGRAM:-uptime}"
. tests/support/bench.sh

root=()
if [ "$(id -u)" = 0 ]; then root=(--allow-root); fi

# Room for these, the sender and the client that asks for the members.
start_server "$((executors + 2))"

# The sender comes first, and takes its lines from a pipe.
mkfifo "$work/lines" "$work/told"
"$bin/pecking" --name sender --slots 0 <"$work/lines" >"$work/told" 2>"$work/errors" &
started+=($!)
exec 3>"$work/lines" 4<"$work/told"
read -r -t 10 _ <&4

for _ in $(seq "$executors"); do
    "$bin/pecking" work --allow-any "${root[@]}" >/dev/null 2>&1 &
    started+=($!)
done
until [ "$("$bin/pecking" members --json 2>/dev/null | grep -o '"rank"' | wc -l)" -gt "$executors" ]; do sleep 0.1; done

microseconds() { echo "${EPOCHREALTIME/[.,]/}"; }

relayed() {
    local from told
    from=$(microseconds)
    echo "@below $program" >&3
    while read -r -t 30 told <&4; do
        case $told in *"$executors targets"* | *"$executors done"*) break ;; esac
    done
    echo $((($(microseconds) - from) / 100))
}

here() {
    local from
    from=$(microseconds)
    seq "$executors" | xargs -P "$executors" -I{} "$program" >/dev/null
    echo $((($(microseconds) - from) / 100))
}

for _ in $(seq "$rounds"); do
    relayed >>"$work/relayed"
    here >>"$work/here"
done
relayed=$(median <"$work/relayed") here=$(median <"$work/here")
awk -v a="$relayed" -v b="$here" -v n="$executors" 'BEGIN {
    printf "one line to %d executors: %.1f ms; xargs -P: %.1f ms; ratio %.2f\n", n, a / 10, b / 10, a / b }'
