#!/usr/bin/env bash
# Takes 10 minutes, and as long to build: the server's end-to-end tests with the server and the
# tests under ThreadSanitizer. `tests/thread-sanitizer.sh wire_join` runs one of them.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
library=$(rustc --print sysroot)/lib/rustlib
if ! ls "$library/$host/lib/"librustc*_rt.tsan.* >/dev/null 2>&1; then
    echo "skipped: this toolchain has no ThreadSanitizer for $host"
    exit 0
fi
if [ ! -d "$library/src/rust/library" ]; then
    echo "skipped: this toolchain has no rust-src (rustup component add rust-src). The sanitizer does not"
    echo "see a lock that was waited for in a standard library that is not built with it, and would call"
    echo "a race what is none"
    exit 0
fi

# The sanitizer is a compiler's option that only some toolchains take without this.
export RUSTC_BOOTSTRAP=1

reports=$PWD/target/thread-sanitizer/reports
rm -rf "$reports" && mkdir -p "$reports"
# Of the server, which tests kill, the exit code would say nothing: its reports do.
export TSAN_OPTIONS="log_path=$reports/of halt_on_error=0 exitcode=0"
tests=(--lib)
for test in ${*:-wire_join wire_send wire_outcome wire_life wire_ranks wire_cancel wire_drain \
    wire_hostile wire_output random_walk}; do
    tests+=(--test "$test")
done
# Everything is some ten times slower, so a tenth of the walks is taken.
RUSTFLAGS="-Zsanitizer=thread" WALK_CASES=${WALK_CASES:-100} cargo test --locked -p server \
    --target "$host" --target-dir target/thread-sanitizer -Zbuild-std "${tests[@]}" \
    --no-fail-fast -- --test-threads=1 || failed=1

if [ -n "$(ls "$reports")" ]; then
    cat "$reports"/*
    echo "there are reports of data races, above and in $reports"
    exit 1
fi
exit "${failed:-0}"
