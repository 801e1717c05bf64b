#!/usr/bin/env bash
# Takes some minutes, and a release build: what `pecking run` costs an operator. Prints medians, and ratios of them.
#
# - What `run` takes to start, send to one target and end, against `true`.
# - `run -b` and `run` to TARGETS (500) executors of one server here, in turns with `clush -R exec -b` and `pdsh -R exec`
#   (Debian's packages clustershell and pdsh; what is not installed is left out) that start the same programs themselves.
# - `run -b` against `run` with KIB (10) of output of each of WIDE (1000) targets.
# - `run -b` to MANY (2000) executors, against `xargs -P` that starts the same programs.
#
# All executors are processes on this machine, so the programs of `run` have the same cores as those of the others. A part
# with 0 targets is left out; ROUNDS (5) is how often each is timed.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${ROUNDS:-5}" targets="${TARGETS:-500}" wide="${WIDE:-1000}" kib="${KIB:-10}" many="${MANY:-2000}"
. tests/support/bench.sh

most=$(printf '%s\n' "$targets" "$wide" "$many" | sort -n | tail -1)
root=()
if [ "$(id -u)" = 0 ]; then root=(--allow-root); fi
# A connection of each executor, and three of its pipes.
ulimit -n "$(ulimit -Hn)"
start_server "$((most + 2))"

here=0
# Has so many executors here, and waits for them.
have() {
    while [ "$here" -lt "$1" ]; do
        here=$((here + 1))
        "$bin/pecking" work --name "n$here" --allow-any "${root[@]}" >/dev/null 2>&1 &
        started+=($!)
    done
    "$bin/pecking" run --quiet --wait-for "$1" --to "n[1-$1]" -- true
}

# How long a command takes, in tenths of a millisecond.
time_of() {
    local from=${EPOCHREALTIME/[.,]/} to
    "$@" >/dev/null 2>&1 || true
    to=${EPOCHREALTIME/[.,]/}
    echo $(((to - from) / 100))
}

# Times commands in turns: pairs of a label and the name of a function. Keeps each median in `took`.
declare -A took
compare() {
    local title=$1 label
    shift
    local -a pairs=("$@")
    for _ in $(seq "$rounds"); do
        for ((at = 0; at < ${#pairs[@]}; at += 2)); do
            time_of "${pairs[at + 1]}" >>"$work/$title-$at"
        done
    done
    for ((at = 0; at < ${#pairs[@]}; at += 2)); do
        label=${pairs[at]}
        took[$label]=$(median <"$work/$title-$at")
        awk -v t="$title" -v l="$label" -v ms="${took[$label]}" 'BEGIN { printf "%-24s %-18s %9.1f ms\n", t, l, ms / 10 }'
    done
}

ratio() { awk -v a="${took[$1]}" -v b="${took[$2]}" -v l="$1 / $2" 'BEGIN { printf "%-24s %28.2f\n", l, a / b }'; }

one() { "$bin/pecking" run --to n1 -- true; }
version() { "$bin/pecking" --version; }
have 1
# The program: the shell has one of its own.
nothing() { "$(type -P true)"; }
compare start true nothing --version version "run, one target" one

if [ "$targets" -gt 0 ]; then
    have "$targets"
    nodes="n[1-$targets]"
    grouped() { "$bin/pecking" run -b --to "$nodes" -- uname -r; }
    live() { "$bin/pecking" run --to "$nodes" -- uname -r; }
    # As many at once as there are targets: `run` does not hold any back.
    with_clush() { clush -R exec -f "$targets" -b -w "$nodes" uname -r; }
    with_pdsh() { pdsh -R exec -f "$targets" -w "$nodes" uname -r; }
    tools=("run -b" grouped run live)
    for tool in clush pdsh; do
        if command -v "$tool" >/dev/null; then tools+=("$tool" "with_$tool"); else echo "$tool is not here"; fi
    done
    compare "$targets commands" "${tools[@]}"
    for tool in clush pdsh; do
        if [ -n "${took[$tool]:-}" ]; then ratio "run -b" "$tool"; fi
    done
fi

if [ "$wide" -gt 0 ]; then
    have "$wide"
    script="head -c $((kib << 10)) /dev/zero | tr '\\0' x | fold"
    wide_grouped() { "$bin/pecking" run -b --to "n[1-$wide]" -- sh -c "$script"; }
    wide_live() { "$bin/pecking" run --to "n[1-$wide]" -- sh -c "$script"; }
    compare "$wide with $kib KiB" "wide -b" wide_grouped wide wide_live
    ratio "wide -b" wide
fi

if [ "$many" -gt 0 ]; then
    have "$many"
    programs() { seq "$many" | xargs -P "$many" -I{} uname -r; }
    run_many() { "$bin/pecking" run -b --to "n[1-$many]" -- uname -r; }
    compare "$many executors" "many -b" run_many "xargs -P" programs
fi
