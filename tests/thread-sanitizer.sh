#!/usr/bin/env bash
# Takes 20 minutes, and a build: unit tests, and the end-to-end tests of the server, of both
# programs and of many clients, with all programs under ThreadSanitizer.
# `tests/thread-sanitizer.sh -p server --test wire join::` runs these alone.
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
# by other means: see common/src/sys/sync/mod.rs.
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg thread_sanitizer"
# Everything is some ten times slower, so a tenth of the walks is taken.
export WALK_CASES=${WALK_CASES:-100}

folder=$PWD/target/thread-sanitizer
reports=$folder/reports
# For every call of cargo, that of the tests that have the server built, too.
export CARGO_BUILD_TARGET=$host CARGO_TARGET_DIR=$folder
rm -rf "$reports" && mkdir -p "$reports"
cat >"$folder/suppressions" <<'SUPPRESSIONS'
# What the sanitizer cannot see in a standard library that was not built for it: the fence before
# something shared is destroyed, a wait inside of a channel, of the test runner's too, and that the
# buffer of standard output was made before it is flushed at the end.
race:<alloc::sync::Arc<*core::ops::drop::Drop>::drop
race:drop_slow
race:std::sync::mpmc
race:crossbeam_channel::
race:std::io::stdio::cleanup
SUPPRESSIONS
# Of a server, which tests kill, the exit code would say nothing: its reports do.
export TSAN_OPTIONS="log_path=$reports/of log_exe_name=1 halt_on_error=0 exitcode=0 \
suppressions=$folder/suppressions"

# Everything but what is left out for a reason, which ARCHITECTURE.md has.
run() {
    cargo test --locked --no-fail-fast "$@" \
        -- --test-threads 1 "${skip[@]/#/--skip=}" || failed=1
}
skip=(the_slowest_of_many_delays_only_the_tally
    a_batch_of_requests_never_evicts_a_client_that_reads_the_answers
    without_descriptors_members_are_served_and_newcomers_wait
    a_target_that_is_killed_in_mid_command_is_lost_within_a_second
    whichever_client_is_killed_nothing_runs_twice_and_every_send_has_its_outcomes)
if [ $# -gt 0 ]; then
    run "$@"
else
    run --package common --package server --package client --lib
    run --package server --test wire --test walk
    skip+=(leaks:: backpressure:: handshakes:: guesses::)
    run --package server --test survive
    skip+=(bench:: drain:: silence:: plugs::)
    run --package client --test crowd --test cli --test survive_clients
fi

# What tests do in their own processes with locks of the standard library is of no concern: what
# is of them carries their build's number, as the unit tests do and those of many clients.
for report in "$reports"/of.*-*; do
    case ${report##*/} in of.common-* | of.server-* | of.pecking-server.* | of.client-* | of.crowd-*) ;; *) rm -f "$report" ;; esac
done
if [ -n "$(ls "$reports")" ]; then
    cat "$reports"/*
    echo "there are reports of data races, above and in $reports"
    exit 1
fi
exit "${failed:-0}"
