#!/usr/bin/env bash
# Runs tests/miri.rs under Miri. What that covers and what not is told at the top of that file.
# Needs a nightly toolchain with Miri; O2I_NIGHTLY names another than "nightly".
set -euo pipefail
cd "$(dirname "$0")/../.."

nightly=${O2I_NIGHTLY:-nightly}

if ! command -v rustup >/dev/null 2>&1; then
  echo "missing tool: rustup (Miri comes with a nightly toolchain that rustup installs)" >&2
  exit 1
fi
if ! rustup component list --toolchain "$nightly" --installed 2>/dev/null | grep -q '^miri'; then
  echo "installing Miri for the $nightly toolchain"
  if ! { rustup toolchain list | grep -q "^$nightly" ||
         rustup toolchain install "$nightly" --profile minimal; } ||
     ! rustup component add miri rust-src --toolchain "$nightly"; then
    echo "missing tool: Miri (rustup component add miri rust-src --toolchain $nightly)" >&2
    exit 1
  fi
fi

echo "Miri: $(rustc "+$nightly" --version), strict provenance, leaks checked"
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-strict-provenance"
exec cargo "+$nightly" miri test --locked --package otlp2iceberg-ffi --test miri
