#!/usr/bin/env bash
# Names every missing tool, one clear line each, before a build wastes time.
set -euo pipefail

missing=0
need() {
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "missing tool: $1 ($2)" >&2
    missing=1
  fi
}
need cargo "Rust 1.95 or newer, from rustup"
need go "Go 1.26 or newer"
need python3 "Python 3.11 or newer, with venv"
need cc "a C compiler: gcc or clang"
need git "git"
exit $missing
