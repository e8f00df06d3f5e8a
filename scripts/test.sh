#!/usr/bin/env bash
# Runs the test layers: all of them, or the given ones (rust, ffi, faults, lambda, go, system).
# Each layer sets up what it needs; a missing tool is an error that names the tool.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/own-cache.sh

layers=("$@")
[ ${#layers[@]} -gt 0 ] || layers=(rust ffi faults lambda go system)
has() { [[ " ${layers[*]} " == *" $1 "* ]]; }

# The packages of the layers rust, ffi and faults enable different features of tokio and others. Built together, they
# share one set of features; built one by one, each would compile half of the dependencies and the library again. The
# Lambda stays apart, because it has to be tested without the library's default features.
packages=()
for layer in "${layers[@]}"; do
  case "$layer" in
    rust) packages+=(--package otlp2iceberg) ;;
    ffi) packages+=(--package otlp2iceberg-ffi) ;;
    faults) packages+=(--package otlp2iceberg-faults) ;;
    lambda | go | system) ;;
    *)
      echo "unknown test layer: $layer (known: rust, ffi, faults, lambda, go, system)" >&2
      exit 2
      ;;
  esac
done
# For other builds of the same packages: `--tests` includes the features that only tests enable.
built=()
[ ${#packages[@]} -eq 0 ] || built=(--tests "${packages[@]}")

step() { printf '\n==> %s (%s s so far)\n' "$1" "$SECONDS"; }

# Background jobs, each with a log, and in a separate process group, so that its child processes end too.
declare -A jobs=()
logs=$(mktemp -d)
end_jobs() {
  local job
  for job in "${jobs[@]}"; do kill -- "-$job" "$job" 2>/dev/null || true; done
  wait
  rm -rf "$logs"
}
trap end_jobs EXIT
# start NAME COMMAND...
start() {
  setsid "${@:2}" >"$logs/$1" 2>&1 </dev/null &
  jobs[$1]=$!
}
# Waits for a job and returns its status.
finish() {
  local status=0
  wait "${jobs[$1]}" || status=$?
  unset "jobs[$1]"
  return "$status"
}

package_tests() {
  [ -z "${packages_tested:-}" ] || return 0
  packages_tested=yes
  step "rust, ffi, faults: tests of the packages (${packages[*]})"
  cargo test --locked "${packages[@]}"
}

# One configuration for vet and tests, also of several modules, so that the packages that these share are compiled once.
go_tests() {
  (cd "$1" && export GOEXPERIMENT=cgocheck2 && go vet -race ./... && go test -race ./...)
}

# Miri takes one core for minutes, so it runs beside other layers. It builds in a target folder of its own.
end_miri() {
  [ -n "${jobs[miri]:-}" ] || return 0
  step "ffi: Miri, which ran beside that"
  local status=0
  finish miri || status=$?
  cat "$logs/miri"
  return "$status"
}

# What the layers go and system download is downloaded beside the layers before them. The steps that need it do the same
# again: they wait for a download that still runs, and repeat and report one that failed. Without flock they would clash.
start_downloads() {
  has system && command -v flock >/dev/null || return 0
  start catalog tests/catalogs/setup-reference-catalog.sh
  start spark tests/spark/setup.sh
  start exporter-modules go -C collector-exporter mod download
  ! has go || start loadgen-modules go -C bench/collector/loadgen mod download
}
end_downloads() {
  local name
  for name in catalog spark exporter-modules loadgen-modules; do
    [ -n "${jobs[$name]:-}" ] || continue
    finish "$name" && continue
    step "system: a download ($name) failed, and is tried again"
    cat "$logs/$name"
  done
}

start_downloads
for layer in "${layers[@]}"; do
  # The tests of this layer depend on time, so they get both cores.
  [ "$layer" != system ] || end_miri
  case "$layer" in
    rust)
      package_tests
      ;;
    faults)
      package_tests
      step "faults: seeded schedules of failures"
      scripts/faults.sh schedules 300 "${built[@]}"
      ;;
    ffi)
      package_tests
      step "ffi: a C program under AddressSanitizer"
      rust/ffi/smoke/run.sh "${built[@]}"
      start miri rust/ffi/miri.sh
      ;;
    lambda)
      step "lambda: tests of the Lambda host"
      cargo test --locked --package otlp2iceberg-lambda
      ;;
    go)
      step "library: build the Rust library (release)"
      make --no-print-directory lib
      step "go: vet and tests with the race detector and checked cgo pointers"
      go_tests collector-exporter
      step "go: the benchmark's load generator"
      go_tests bench/collector/loadgen
      step "go: what a build without cgo reports"
      (cd collector-exporter && CGO_ENABLED=0 go test ./internal/native)
      ;;
    system)
      make --no-print-directory collector
      scripts/faults.sh faultbox "${built[@]}"
      step "lambda: build the program for its tests (not optimised; make lambda builds what ships)"
      # Built with the tests, so that features, and therefore the builds, are the same as theirs.
      cargo build --locked --package otlp2iceberg-lambda --bins --tests
      O2I_LAMBDA=${O2I_LAMBDA:-${CARGO_TARGET_DIR:-target}/debug/bootstrap}
      export O2I_LAMBDA
      end_downloads
      step "system: the built collector, read back by DuckDB, pyiceberg and Spark"
      tests/run.sh
      ;;
  esac
done
end_miri
step "all layers passed: ${layers[*]}"
