#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs mdatagen. mdatagen names the package after the directory, which is collector-exporter, so it runs in
# a symbolic link with the package's name.
set -eu

module=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
view=$(mktemp -d)
trap 'rm -rf "$view"' EXIT
ln -s "$module" "$view/icebergexporter"
(cd "$module/tools" && go build -o "$view/mdatagen" go.opentelemetry.io/collector/cmd/mdatagen)
cd "$view/icebergexporter"
"$view/mdatagen" metadata.yaml
gofmt -w "$module"/generated_*.go "$module"/internal/metadata*/generated_*.go
