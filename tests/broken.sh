#!/bin/sh
# Breaks a thousand connections under load; CUTS says how many.
set -eu
cd "$(dirname "$0")/.."
CUTS="${CUTS:-1000}" exec cargo test -p client --locked --test survive_clients broken
