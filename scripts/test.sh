#!/usr/bin/env bash
# Runs the test layers: all of them, or the given ones (rust, ffi, faults, lambda, go, system).
# Each layer sets up what it needs; a missing tool is an error that names the tool.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/own-cache.sh

layers=("$@")
[ ${#layers[@]} -gt 0 ] || layers=(rust ffi faults lambda go system)

step() { printf '\n==> %s (%s s so far)\n' "$1" "$SECONDS"; }

native_lib() {
  step "library: build the Rust library (release)"
  make --no-print-directory lib
}

# Miri and the failure schedules each use one core for minutes, so they run in parallel.
miri=
start_miri() {
  miri_log=$(mktemp)
  # In a separate process group, so that cargo's child processes end too.
  setsid rust/ffi/miri.sh >"$miri_log" 2>&1 &
  miri=$!
  trap 'kill -- "-$miri" 2>/dev/null || true; rm -f "$miri_log"' EXIT
}
end_miri() {
  [ -n "$miri" ] || return 0
  step "ffi: Miri, which ran beside that"
  local status=0
  wait "$miri" || status=$?
  cat "$miri_log"
  rm -f "$miri_log"
  trap - EXIT
  miri=
  return "$status"
}

for layer in "${layers[@]}"; do
  [ "$layer" = faults ] || end_miri
  case "$layer" in
    rust)
      step "rust: tests of the library"
      cargo test --locked --package otlp2iceberg
      ;;
    faults)
      step "faults: the faultbox, and seeded schedules of failures"
      cargo test --locked --package otlp2iceberg-faults
      scripts/faults.sh schedules 300
      ;;
    ffi)
      step "ffi: tests of the C boundary"
      cargo test --locked --package otlp2iceberg-ffi --features test-hooks
      step "ffi: a C program under AddressSanitizer"
      rust/ffi/smoke/run.sh
      start_miri
      ;;
    lambda)
      step "lambda: tests of the Lambda host"
      cargo test --locked --package otlp2iceberg-lambda
      ;;
    go)
      native_lib
      step "go: vet and tests with the race detector and checked cgo pointers"
      (cd collector-exporter && go vet ./... && GOEXPERIMENT=cgocheck2 go test -race ./...)
      step "go: the benchmark's load generator"
      (cd bench/collector/loadgen && go vet ./... && go test -race ./...)
      ;;
    system)
      make --no-print-directory collector faultbox
      step "lambda: build the program for its tests (not optimised; make lambda builds what ships)"
      # Built with the tests, so that features, and therefore the builds, are the same as theirs.
      cargo build --locked --package otlp2iceberg-lambda --bins --tests
      O2I_LAMBDA=${O2I_LAMBDA:-${CARGO_TARGET_DIR:-target}/debug/bootstrap}
      export O2I_LAMBDA
      step "system: the built collector, read back by DuckDB, pyiceberg and Spark"
      tests/run.sh
      ;;
    *)
      echo "unknown test layer: $layer (known: rust, ffi, faults, lambda, go, system)" >&2
      exit 2
      ;;
  esac
done
end_miri
step "all layers passed: ${layers[*]}"
