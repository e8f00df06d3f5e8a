#!/usr/bin/env bash
# Runs the library benchmarks pinned to one core and writes bench/RESULTS.md.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "building the benchmarks (release)"
cargo build --locked --release --package otlp2iceberg-bench
pin=()
command -v taskset >/dev/null 2>&1 && pin=(taskset -c 0)
{
  echo "# Benchmark results"
  echo
  echo "Made by \`make bench\`. Machine: $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//'), $(rustc --version), system allocator."
  echo "Ratios are worth more than times: all rows of one run were measured interleaved on one core."
  echo
  "${pin[@]}" "$CARGO_TARGET_DIR/release/otlp2iceberg-bench"
} | tee bench/RESULTS.md
