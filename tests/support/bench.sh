# For the benchmarks that are scripts: builds for release, starts a server of so many clients, and ends at the end
# all that is in `started`. Sets `bin`, `work` (a folder that goes with it) and PECKING_SERVER.

cargo build --quiet --release --locked --bins
bin="${CARGO_TARGET_DIR:-target}/release"
work=$(mktemp -d)
started=()

clean_up() {
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# From standard input, one figure a line.
median() { sort -n | sed -n "$((rounds / 2 + 1))p"; }

start_server() {
    RUST_LOG=warn "$bin/pecking-server" "$1" --listen 127.0.0.1:0 --quiet >"$work/server" &
    started+=($!)
    until [ -s "$work/server" ]; do sleep 0.05; done
    PECKING_SERVER=$(grep -o '127\.0\.0\.1:[0-9]*' "$work/server")
    export PECKING_SERVER RUST_LOG=warn
}
