#!/usr/bin/env bash
# Builds a Collector with the OpenTelemetry Collector builder: build-collector.sh <manifest>, run from the root.
#
# `--gc-sections` removes unused code of the library, a fifth of the whole program. The other flags are the builder's
# defaults.
set -euo pipefail

builder=go.opentelemetry.io/collector/cmd/builder@${BUILDER_VERSION:-v0.161.0}
CGO_ENABLED=1 exec go run "$builder" --config "$1" --ldflags '-s -w -extldflags=-Wl,--gc-sections'
