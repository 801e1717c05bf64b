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

# The sanitizer is a compiler's option that only some toolchains take without this.
export RUSTC_BOOTSTRAP=1
flags="-Zsanitizer=thread"
build=()
suppressions=$PWD/tests/thread-sanitizer.txt
if [ -d "$library/src/rust/library" ]; then
    build=(-Zbuild-std)
else
    echo "the toolchain has no rust-src: the standard library's own accesses are not seen, and"
    echo "what it is known to be blamed for wrongly then is left out ($suppressions)"
    flags+=" -Cunsafe-allow-abi-mismatch=sanitizer"
fi

reports=$PWD/target/thread-sanitizer/reports
rm -rf "$reports" && mkdir -p "$reports"
# Of the server, which tests kill, the exit code would say nothing: its reports do.
export TSAN_OPTIONS="log_path=$reports/of suppressions=$suppressions halt_on_error=0 exitcode=0"
tests=(--lib)
for test in ${*:-wire_join wire_send wire_outcome wire_life wire_ranks wire_cancel wire_drain \
    wire_hostile wire_output random_walk}; do
    tests+=(--test "$test")
done
# Everything is some ten times slower, so a tenth of the walks is taken.
RUSTFLAGS="$flags" WALK_CASES=${WALK_CASES:-100} cargo test --locked -p server \
    --target "$host" --target-dir target/thread-sanitizer "${build[@]}" "${tests[@]}" \
    --no-fail-fast -- --test-threads=1 || failed=1

if [ -n "$(ls "$reports")" ]; then
    cat "$reports"/*
    echo "there are reports of data races, above and in $reports"
    exit 1
fi
exit "${failed:-0}"
