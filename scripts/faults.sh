#!/usr/bin/env bash
# Builds and runs the programs of rust/faults: `schedules N` plays N seeds, `faultbox` builds dist/faultbox.
# Further arguments go to `cargo build`: packages that were built together share features, so a build of one of them alone
# would compile its dependencies again.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/own-cache.sh

target=${CARGO_TARGET_DIR:-target}

case "$1" in
  schedules)
    # An optimised build pays off for thousands of seeds, but not for hundreds.
    profile=dev folder=debug
    [ "$2" -lt 2000 ] || profile=release folder=release
    cargo build --locked --profile "$profile" --package otlp2iceberg-faults --bins "${@:3}"
    # Each starting exporter reads the system's certificates, which these tests do not need.
    SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null "$target/$folder/schedules" --seeds "$2"
    ;;
  faultbox)
    cargo build --locked --package otlp2iceberg-faults --bin faultbox "${@:2}"
    mkdir -p dist
    cp "$target/debug/faultbox" dist/faultbox
    ;;
  *)
    echo "usage: scripts/faults.sh schedules N [cargo arguments] | faultbox [cargo arguments]" >&2
    exit 2
    ;;
esac
