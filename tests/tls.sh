#!/usr/bin/env bash
# Takes some minutes, and a build: the tests of the wire, over TLS (`tests/support/tunnel.rs`). It leaves out those that
# start a server by themselves, and those with figures about what a plain socket holds.
set -euo pipefail
cd "$(dirname "$0")/.."
export PECKING_TEST_CARRIER=tls
skipped=()
for test in document::the_exchange join::join_answers hostile:: drain::a_drain_does_not_wait life::a_slow_client \
    refused::a_superior_that_much send::a_queue_is_bounded exodus:: carrier:: audit:: audit_faults:: bytes::; do
    skipped+=(--skip "$test")
done
exec cargo test --locked --package server --test wire -- "${skipped[@]}"
