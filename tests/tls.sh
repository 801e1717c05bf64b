#!/usr/bin/env bash
# Takes five minutes, and a build: the tests of the wire and of survival, over TLS (`tests/support/tunnel.rs`).
# Nothing else may run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
export PECKING_TEST_CARRIER=tls

# The package, its tests, and those of them that are left out; then, behind "--", options of the tests.
run() {
    local package=$1 tests=$2 options=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=(--skip "$1")
        shift
    done
    cargo test --locked --package "$package" --test "$tests" -- "${options[@]}" "${@:2}"
}

# They start a server by themselves, or have figures about what a plain socket holds.
run server wire document::the_exchange join::join_answers hostile:: drain::a_drain_does_not_wait life::a_slow_client \
    refused::a_superior_that_much send::a_queue_is_bounded exodus:: carrier:: ids:: audit:: audit_faults:: bytes::

survive=(
    # They count the lines that a server logs; what carries a client's lines is no matter of the console.
    console::
    # Their server is another user's, which cannot read the key.
    shortage::without_threads shortage::without_a_thread_to_catch_up
    # Tunnels shake hands at the same time, so it is not known which connection is the oldest, or joins first.
    handshakes::the_oldest_handshake shortage::without_descriptors
    # A client that has to make room within its handshake is told nothing, and would dial again.
    handshakes::a_crowd_of_one_address guesses::a_flood_of_wrong_tokens
    # Megabytes through a tunnel with a narrow end take longer than a heartbeat.
    pause::a_server_that_was_stopped
)
run server survive "${survive[@]}" -- --test-threads 1

run client survive_clients -- --test-threads 1
