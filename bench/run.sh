#!/usr/bin/env bash
# The library's benchmarks, peers side by side, pinned to one core; writes bench/RESULTS.md and bench/chart.svg.
#   bench/run.sh [all|library|instructions|queries|report|check]
# library: times. instructions: counts with valgrind, where it is installed. queries: DuckDB over all writers' files.
# report: renders earlier measurements (bench/results). check: fails when a ratio misses bench/thresholds.json.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
case "$what" in
  all | library | instructions | queries | report | check) ;;
  *)
    echo "usage: bench/run.sh [all|library|instructions|queries|report|check]" >&2
    exit 2
    ;;
esac
wants() { [ "$what" = all ] || [ "$what" = "$1" ]; }

# The same target directory as `make`.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${O2I_CACHE:-$HOME/.cache/otlp2iceberg}/target}
scripts/own-cache.sh
program=$CARGO_TARGET_DIR/release/otlp2iceberg-bench
python=$(tests/setup-venv.sh)
export PYTHONPATH=bench
pin=()
if command -v taskset >/dev/null 2>&1; then pin=(taskset -c "${O2I_BENCH_CORE:-0}"); fi
mkdir -p bench/results

if [ "$what" != report ]; then
  echo "==> building the benchmarks and the peers (release; 10 minutes and more from nothing on 2 cores)"
  allocator=()
  if [ "${O2I_BENCH_ALLOCATOR:-}" = system ]; then allocator=(--no-default-features); fi
  cargo build --locked --release --manifest-path bench/Cargo.toml "${allocator[@]}"
fi
if [ "$what" = check ]; then
  exec "${pin[@]}" "$python" -m report.gate "$program"
fi
if wants queries; then
  echo "==> everybody's files of the same rows, their checksums, ten queries"
  files=$(mktemp -d)
  trap 'rm -rf "$files"' EXIT
  "$program" files "$files"
  "${pin[@]}" "$python" -m queries "$files" "$program" >"$files/queries.jsonl"
  mv "$files/queries.jsonl" bench/results/queries.jsonl
fi
if wants library; then
  echo "==> times of the library"
  "${pin[@]}" "$program" measure >bench/results/library.new
  mv bench/results/library.new bench/results/library.jsonl
fi
if wants instructions; then
  echo "==> instructions"
  "$python" -m report.count "$program" >bench/results/instructions.new
  mv bench/results/instructions.new bench/results/instructions.jsonl
fi
measured=1
if [ "$what" = report ]; then measured=; fi
O2I_BENCH_MEASURED=$measured "$python" -m report
