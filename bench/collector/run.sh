#!/usr/bin/env bash
# Compares the exporter with other exporters in a Collector and writes bench/results/collector.md. Options go to
# `python -m collector` (--help); with --steady or --outage it writes nothing.
#
# Needs the Rust library where the exporter's Go package looks for it: `make lib`, or `make bench-collector` for both.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$PWD/dist/bench
mkdir -p "$bin"

echo "building the Collector that is measured and the load generator" >&2
scripts/build-collector.sh bench/collector/builder-config.yaml >"$bin/build.log" 2>&1 ||
    { cat "$bin/build.log" >&2; exit 1; }
# Copies the binary, as an installer would. A linker writes through a mapping, which leaves the file in large folios in
# the page cache. The kernel maps more of these into each process: up to 18 MiB of RSS that an installed Collector does
# not have.
cp "$bin/otelcol-bench" "$bin/otelcol-bench.copy"
mv "$bin/otelcol-bench.copy" "$bin/otelcol-bench"
(cd bench/collector/loadgen && go build -o "$bin/loadgen" .)

out=(--out "$PWD/bench/results/collector.md")
for option in "$@"; do
    case $option in
        --outage) tests/catalogs/setup-reference-catalog.sh >/dev/null; out=() ;;
        --steady*) out=() ;;
    esac
done

python=$(tests/setup-venv.sh)
O2I_COLLECTOR=$bin/otelcol-bench O2I_LOADGEN=$bin/loadgen PYTHONPATH=$PWD/tests:$PWD/bench \
    exec "$python" -m collector "${out[@]}" "$@"
