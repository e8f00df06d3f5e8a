#!/usr/bin/env bash
# Builds OpenTelemetry's own load generator and prints its path. It lives in the cache, which clones share.
set -euo pipefail

version=v0.161.0
cache=${O2I_CACHE:-$HOME/.cache/otlp2iceberg}
folder=$cache/telemetrygen-$version

command -v go >/dev/null || { echo "missing tool: go" >&2; exit 1; }
mkdir -p "$folder"
if [ ! -x "$folder/telemetrygen" ]; then
    echo "building telemetrygen $version" >&2
    building=$(mktemp -d "$folder/building.XXXXXX")
    trap 'rm -rf "$building"' EXIT
    # Compiled as the Collector is (the builder passes -trimpath), so that the modules that both use are compiled once.
    GOBIN=$building go install -trimpath \
        "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@$version" >&2
    mv "$building/telemetrygen" "$folder/telemetrygen"
fi
echo "$folder/telemetrygen"
