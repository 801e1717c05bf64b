#!/usr/bin/env bash
# Takes 50 minutes, and some more to build: ten for each fuzz target. `tests/fuzz.sh 60` takes
# a minute for each. An input that breaks something is left in target/fuzz/found/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}

if ! command -v cargo-fuzz >/dev/null; then
    echo "skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)"
    exit 0
fi

# The sanitizer is a compiler's option that only some toolchains take without this.
export RUSTC_BOOTSTRAP=1
host=$(rustc -vV | sed -n 's/^host: //p')
# What the release is built with only makes this build take longer.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
targets=(line message plain selector policy)
for target in "${targets[@]}"; do
    cargo fuzz build --fuzz-dir tests/fuzz --target-dir target/fuzz "$target"
done

# One file for each line of standard input, under this folder and prefix.
files() { awk -v to="$1/$2" '{ file = to NR; printf "%s", $0 > file; close(file) }'; }

for target in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$target
    mkdir -p "$corpus" target/fuzz/found
    if [ -d "tests/fuzz/seeds/$target" ]; then
        cp "tests/fuzz/seeds/$target/"* "$corpus"
    else
        files "$corpus" seed- <"tests/fuzz/seeds/$target.txt"
        sed -n 's/^[→←] //p' common/PROTOCOL.md | files "$corpus" document-
    fi
    echo "== $target"
    "target/fuzz/$host/release/$target" "$corpus" -dict=tests/fuzz/dictionary.txt \
        -artifact_prefix="target/fuzz/found/$target-" -max_total_time="$seconds" \
        -timeout=60 -rss_limit_mb=1024 -print_final_stats=1
done
