#!/usr/bin/env bash
# Reports each tool that a build lacks in one clear line, before the build wastes time.
# With --test, also reports tools that only the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

for_tests=no
case "${1:-}" in
  "") ;;
  --test) for_tests=yes ;;
  *)
    echo "usage: scripts/check-tools.sh [--test]" >&2
    exit 2
    ;;
esac

missing=0
say() {
  echo "$1" >&2
  missing=1
}
have() { command -v "$1" >/dev/null 2>&1; }
need() { have "$1" || say "missing tool: $1 ($2)"; }

# at_least A B: whether version A is B or newer.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# need_version TOOL WANTED FOUND HINT
need_version() {
  if [ -z "$3" ]; then
    say "missing tool: $1 $2 or newer ($4)"
  elif ! at_least "$3" "$2"; then
    say "$1 is $3; $2 or newer is needed ($4)"
  fi
}

check_platform() {
  case "$(uname -s)/$(uname -m)" in
    Linux/x86_64 | Linux/aarch64) ;;
    *) say "$(uname -s) on $(uname -m) is not supported yet: build on Linux, amd64 or arm64 (a container will do)" ;;
  esac
}

check_rust() {
  # rustup's cargo installs the toolchain that rust-toolchain.toml names.
  if have rustup && have cargo; then return; fi
  local found=""
  if have cargo; then found=$(cargo --version 2>/dev/null | awk '{print $2}'); fi
  need_version cargo 1.95 "$found" "install Rust with rustup: https://rustup.rs"
}

check_go() {
  local found=""
  if have go; then
    # The version in the exporter's module, because Go fetches a newer toolchain for a module that requires one.
    found=$( (cd collector-exporter && go env GOVERSION) 2>/dev/null | sed -E 's/^go//; s/[^0-9.].*//') || found=""
  fi
  need_version go 1.26 "$found" "https://go.dev/dl"
}

check_python() {
  local found=""
  if have python3; then found=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null) || found=""; fi
  need_version python3 3.11 "$found" "with venv; on Debian: apt install python3 python3-venv"
  if [ -n "$found" ] && ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then
    say "missing: the venv module of python3 (on Debian: apt install python3-venv)"
  fi
}

check_miri() {
  local nightly=${O2I_NIGHTLY:-nightly}
  local hint="rustup toolchain install $nightly --component miri,rust-src"
  if ! have rustup; then
    say "missing tool: rustup (the tests run Miri, which it installs: https://rustup.rs, then $hint)"
    return
  fi
  if has_miri "$nightly"; then return; fi
  echo "installing Miri for Rust's $nightly toolchain, for tests"
  if rustup toolchain list | grep -q "^$nightly"; then
    rustup component add miri rust-src --toolchain "$nightly" >&2 || true
  else
    rustup toolchain install "$nightly" --profile minimal --component miri --component rust-src >&2 || true
  fi
  has_miri "$nightly" || say "missing: Rust's $nightly toolchain with Miri ($hint)"
}

has_miri() {
  local installed
  installed=$(rustup component list --toolchain "$1" --installed 2>/dev/null) || return 1
  grep -q '^miri' <<<"$installed" && grep -q '^rust-src' <<<"$installed"
}

check_platform
check_rust
check_go
check_python
need cc "a C compiler: gcc or clang"
need git "git"
need sha256sum "of GNU coreutils"
if [ "$for_tests" = yes ]; then
  need javac "JDK 17 or 21, for the reference REST catalog and Apache Spark"
  need g++ "a C++ compiler, which reads the header in a test"
  need curl "7.75 or newer, for the Lambda's deployment scripts"
  need unzip "for the Lambda's deployment scripts"
  check_miri
fi
exit $missing
