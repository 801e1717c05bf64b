#!/usr/bin/env bash
# Takes 10 minutes, building included: unit tests, and the end-to-end tests of the server and of
# many clients, with all programs under ThreadSanitizer. `tests/thread-sanitizer.sh wire_join`
# runs one of the server's.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
if ! ls "$(rustc --print sysroot)/lib/rustlib/$host/lib/"librustc*_rt.tsan.* >/dev/null 2>&1; then
    echo "skipped: this toolchain has no ThreadSanitizer for $host"
    exit 0
fi

# The sanitizer is a compiler's option that only some toolchains take without this.
export RUSTC_BOOTSTRAP=1
# The standard library comes as it is, not built for the sanitizer, which is told of the locks
# by other means: see common/src/sync.rs.
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg thread_sanitizer"
# Everything is some ten times slower, so a tenth of the walks is taken.
export WALK_CASES=${WALK_CASES:-100}

folder=$PWD/target/thread-sanitizer
reports=$folder/reports
rm -rf "$reports" && mkdir -p "$reports"
cat >"$folder/suppressions" <<'SUPPRESSIONS'
# What the sanitizer cannot see in a standard library that was not built for it: the fence before
# something shared is destroyed, a wait inside of a channel, of the test runner's too, and who
# made what is made at its first use.
race:<alloc::sync::Arc<*core::ops::drop::Drop>::drop
race:drop_slow
race:std::sync::mpmc
race:crossbeam_channel::
SUPPRESSIONS
# Of a server, which tests kill, the exit code would say nothing: its reports do.
export TSAN_OPTIONS="log_path=$reports/of log_exe_name=1 halt_on_error=0 exitcode=0 \
suppressions=$folder/suppressions"

run() {
    cargo test --locked --target "$host" --target-dir "$folder" --no-fail-fast "$@" || failed=1
}
if [ $# -gt 0 ]; then
    run --package server $(printf -- '--test %s ' "$@") -- --test-threads 1
else
    run --package common --package server --package client --lib -- --test-threads 1
    run --package client --test crowd -- --test-threads 1
    tests=()
    # Not wire_drain: a signal waits until its thread makes a call that the sanitizer watches,
    # and a server's main thread makes none.
    for test in wire_join wire_send wire_outcome wire_life wire_ranks wire_cancel wire_hostile \
        wire_output wire_selectors wire_line wire_bytes random_walk survive_ranks wire_drain wire_exodus wire_carrier; do
        tests+=(--test "$test")
    done
    # Two need a server that is not ten times slower.
    run --package server "${tests[@]}" -- --test-threads 1 \
        --skip the_slowest_of_many_delays_only_the_tally \
        --skip a_batch_of_requests_never_evicts_who_reads_the_answers
fi

# What tests do in their own processes with locks of the standard library is of no concern.
rm -f "$reports"/of.{wire,survive}_* "$reports"/of.random_walk*
if [ -n "$(ls "$reports")" ]; then
    cat "$reports"/*
    echo "there are reports of data races, above and in $reports"
    exit 1
fi
exit "${failed:-0}"
