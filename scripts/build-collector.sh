#!/usr/bin/env bash
# Builds a Collector with the OpenTelemetry Collector builder: build-collector.sh <manifest>, from the repository's root.
#
# `--gc-sections` leaves out what nothing calls of the library's code: a fifth of the whole program. The rest is the builder's default.
set -euo pipefail

builder=go.opentelemetry.io/collector/cmd/builder@${BUILDER_VERSION:-v0.161.0}
CGO_ENABLED=1 exec go run "$builder" --config "$1" --ldflags '-s -w -extldflags=-Wl,--gc-sections'
