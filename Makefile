# The commands of this project; `make` prints them. Versions are pinned: crates by Cargo.lock, the compiler by
# rust-toolchain.toml, the exporter's Go modules by its go.sum, the tests' packages by tests/requirements.txt. The
# Collector's own go.mod and go.sum (in dist) are made by each build: builder-config.yaml and BUILDER_VERSION pin what
# is named there, Go selects the other modules from what those require, and its checksum database verifies them all.
# Builds are cached outside the clone, so a second clone builds quickly.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

O2I_CACHE ?= $(HOME)/.cache/otlp2iceberg
export O2I_CACHE
export CARGO_TARGET_DIR ?= $(O2I_CACHE)/target
export CARGO_TERM_PROGRESS_WHEN ?= never

BUILDER_VERSION := v0.161.0
GO_TARGET := $(shell go env GOOS 2>/dev/null)_$(shell go env GOARCH 2>/dev/null)
COLLECTOR := dist/otelcol-iceberg

step = @printf '\n==> %s\n' $(1)

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: tools
tools:
	@scripts/check-tools.sh
	@scripts/own-cache.sh

.PHONY: demo
demo: collector ## the main job, end to end: collector, real OTLP of every kind, tables read by DuckDB
	$(call step,"demo: send OTLP of every kind and read the tables back")
	@tests/demo.sh --collector $(COLLECTOR)

.PHONY: run
run: collector ## run the collector in the foreground on 127.0.0.1:4317 (gRPC) and :4318 (HTTP), tables in ./warehouse
	@$(COLLECTOR) --config examples/collector/local.yaml

# In CI a licence that nobody has allowed is an error; elsewhere people add what components they like.
STRICT := $(if $(CI),--strict)

.PHONY: collector
collector: tools lib ## build dist/otelcol-iceberg, and the notices that belong to it
	$(call step,"collector: build $(COLLECTOR) with the OpenTelemetry Collector builder $(BUILDER_VERSION)")
	@BUILDER_VERSION=$(BUILDER_VERSION) scripts/build-collector.sh builder-config.yaml
	@test -x $(COLLECTOR)
	@scripts/third-party.py dist --package otlp2iceberg-ffi --features mimalloc --name otelcol-iceberg --go dist $(STRICT)

# The library and the C compiler's output are the host's. Go alone would build for another machine, and then link the
# wrong library.
.PHONY: own-machine
own-machine: tools
	@wanted=$$(go env GOOS GOARCH | paste -sd /) host=$$(go env GOHOSTOS GOHOSTARCH | paste -sd /); \
	[ "$$wanted" = "$$host" ] || { echo "the library and the Collector cannot be built for $$wanted on $$host: unset GOOS" \
		"and GOARCH, and build on such a machine" >&2; exit 1; }

.PHONY: lib
lib: own-machine ## build the Rust library for the collector (static, release)
	$(call step,"library: build the Rust library (release; 5 to 10 minutes from nothing on 2 cores)")
	@cargo build --locked --release --package otlp2iceberg-ffi --features mimalloc
	@collector-exporter/internal/native/install-library.sh "$(CARGO_TARGET_DIR)/release/libotlp2iceberg_ffi.a" $(GO_TARGET)

.PHONY: lib-shared
lib-shared: tools ## build the same library as a shared one, for other hosts: dist/libotlp2iceberg_ffi.so
	@cargo rustc --locked --release --package otlp2iceberg-ffi --features mimalloc --crate-type cdylib
	@mkdir -p dist && cp "$(CARGO_TARGET_DIR)/release/libotlp2iceberg_ffi.so" dist/

# Lambda's name for the architecture of the host or of LAMBDA_TARGET. The latter is a target triple for cargo-zigbuild,
# such as aarch64-unknown-linux-gnu.2.34.
LAMBDA_TARGET ?=
LAMBDA_ARCH := $(if $(filter aarch64% arm64%,$(or $(LAMBDA_TARGET),$(shell uname -m))),arm64,x86_64)
LAMBDA_FOLDER = $(CARGO_TARGET_DIR)/$(if $(LAMBDA_TARGET),$(LAMBDA_TARGET:.2.34=)/)lambda
# At a fixed address, which docs/decisions/0015-lambda-build.md explains. The flag is for the target alone: procedural
# macros are shared libraries.
LAMBDA_FLAGS := -C relocation-model=static
LAMBDA_FLAGS_OF_TARGET = CARGO_TARGET_$(shell tr a-z- A-Z_ <<<"$(LAMBDA_TARGET:.2.34=)")_RUSTFLAGS
LAMBDA_PROGRAM := --locked --profile lambda --package otlp2iceberg-lambda --bin bootstrap
LAMBDA_BUILD = $(if $(LAMBDA_TARGET),env $(LAMBDA_FLAGS_OF_TARGET)="$(LAMBDA_FLAGS)" cargo zigbuild --target $(LAMBDA_TARGET) \
	$(LAMBDA_PROGRAM),cargo rustc $(LAMBDA_PROGRAM) -- $(LAMBDA_FLAGS))

.PHONY: lambda
lambda: tools ## build dist/lambda/bootstrap and its zip, for the host's architecture or LAMBDA_TARGET
	$(call step,"lambda: build the Lambda (optimised for size and start; 10 minutes and more from nothing on 2 cores)")
	@$(LAMBDA_BUILD)
	@scripts/third-party.py dist/lambda --package otlp2iceberg-lambda --name otlp2iceberg-lambda-$(LAMBDA_ARCH) \
		$(if $(LAMBDA_TARGET),--target $(LAMBDA_TARGET)) $(STRICT)
	@scripts/package-lambda.sh "$(LAMBDA_FOLDER)/bootstrap" $(LAMBDA_ARCH)

.PHONY: lambda-figures
lambda-figures: lambda ## compare size, start time and memory of the Lambda with their limits
	@tests/catalogs/setup-reference-catalog.sh >/dev/null
	@cd tests && PYTHONPATH=. "$$(./setup-venv.sh)" -m lambda_host.figures --zip ../dist/lambda/otlp2iceberg-lambda-$(LAMBDA_ARCH).zip

.PHONY: tools-test
tools-test:
	@scripts/check-tools.sh --test

.PHONY: test
test: tools-test ## every test: Rust, C boundary, Go, whole system
	@scripts/test.sh

.PHONY: test-rust test-ffi test-go test-lambda test-system
test-rust: ## tests of the Rust library
	@scripts/test.sh rust
test-ffi: tools-test ## tests of the C boundary: calls as from C, a C program under AddressSanitizer, Miri
	@scripts/test.sh ffi
test-go: lib ## tests of the Go exporter, with the race detector
	@scripts/test.sh go
test-lambda: tools ## tests of the Lambda: event formats and JSON (test-system tests the built program)
	@scripts/test.sh lambda
test-system: collector ## tests of the built collector with independent readers
	@scripts/test.sh system

.PHONY: faults faultbox
faults: tools-test collector faultbox ## many seeded schedules of failures and kills (SEEDS=10000 SCHEDULES=200 KILLS=20); about an hour
	$(call step,"faults: seeded schedules against servers in memory")
	@scripts/faults.sh schedules $${SEEDS:-10000}
	$(call step,"faults: seeded schedules against the reference catalog and S3; kill -9 at named points and at each file operation")
	@O2I_SCHEDULES=$${SCHEDULES:-200} O2I_KILLS=$${KILLS:-20} O2I_FILE_FAULTS=all tests/run.sh \
		test_fault_schedules.py test_kill_points.py test_kill_receipts.py test_file_faults.py
faultbox: tools
	@scripts/faults.sh faultbox

.PHONY: lint
lint: tools ## formatting, clippy, go vet
	@cargo fmt --all --check
	@cargo fmt --check --manifest-path bench/Cargo.toml
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cd collector-exporter && test -z "$$(gofmt -l .)" && go vet ./...

.PHONY: fmt
fmt: ## format Rust and Go
	@cargo fmt --all
	@cargo fmt --manifest-path bench/Cargo.toml
	@gofmt -w collector-exporter

.PHONY: soak
soak: collector ## eight collectors write to one table of the reference REST catalog for a minute; prints retries and failures
	@PYTHONPATH=tests "$$(tests/setup-venv.sh)" -m catalogs.soak --writers 8 --seconds 60

.PHONY: bench bench-check bench-report bench-lint
bench: tools ## benchmark the library and its files against the peers (15 minutes, and a long first build); writes bench/RESULTS.md
	@bench/run.sh
bench-check: tools ## fail when a ratio to the peers misses its threshold in bench/thresholds.json
	@bench/run.sh check
bench-report: ## render bench/RESULTS.md and bench/chart.svg again from the last measurements
	@bench/run.sh report
bench-lint: tools ## clippy over the benchmarks, which are a separate workspace
	@cargo clippy --locked --manifest-path bench/Cargo.toml --all-targets -- -D warnings

# BENCH_COLLECTOR=--quick takes 3 minutes; see bench/collector/README.md.
.PHONY: bench-collector
bench-collector: tools lib ## compare CPU and memory of the exporter with other exporters in a Collector (12 minutes; BENCH_COLLECTOR=--quick)
	@BUILDER_VERSION=$(BUILDER_VERSION) bench/collector/run.sh $(BENCH_COLLECTOR)

.PHONY: clean
clean: ## remove build results in the clone (the cache outside it, $O2I_CACHE, stays)
	@rm -rf dist warehouse collector-exporter/internal/native/lib collector-exporter/internal/native/stamp_*.go collector-exporter/testdata/lifecycle-warehouse
