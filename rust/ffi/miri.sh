#!/usr/bin/env bash
# Runs tests/miri.rs under Miri. The top of that file says what this covers.
# Needs a nightly toolchain with Miri; O2I_NIGHTLY selects another one than "nightly".
set -euo pipefail
cd "$(dirname "$0")/../.."

nightly=${O2I_NIGHTLY:-nightly}

if ! rustup component list --toolchain "$nightly" --installed 2>/dev/null | grep -q '^miri'; then
  echo "missing: Rust's $nightly toolchain with Miri; scripts/check-tools.sh --test installs it" >&2
  exit 1
fi

echo "Miri: $(rustc "+$nightly" --version), strict provenance, leaks checked"
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-strict-provenance"
# Miri cannot call C, so optimising the C libraries, as Cargo.toml does for the other tests, would only take time.
exec cargo "+$nightly" miri test --locked --package otlp2iceberg-ffi --test miri \
  --config 'profile.dev.package.zstd-sys.opt-level=0' --config 'profile.dev.package.libsqlite3-sys.opt-level=0'
