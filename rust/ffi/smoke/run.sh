#!/usr/bin/env bash
# Builds smoke.c against the debug static library with AddressSanitizer and UndefinedBehaviorSanitizer,
# and runs it on an empty warehouse. Also checks that the header alone is valid C11 and C++17.
# CC and CXX select other compilers than gcc and g++. Arguments go to `cargo build`: packages that were built together
# share features, so a build of this one alone would compile its dependencies again.
set -euo pipefail
cd "$(dirname "$0")/../../.."

cc=${CC:-gcc}
cxx=${CXX:-g++}
header_directory=collector-exporter/internal/native
target=${CARGO_TARGET_DIR:-target}

for tool in cargo "$cc" "$cxx"; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "missing tool: $tool (the smoke test needs Rust and a C and C++ compiler with AddressSanitizer)" >&2
    exit 1
  fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "smoke: the header alone, as C11 and as C++17"
echo '#include "otlp2iceberg.h"' >"$work/header.c"
warnings=(-Wall -Wextra -Wpedantic -Werror -I "$header_directory" -fsyntax-only)
"$cc" -std=c11 "${warnings[@]}" "$work/header.c"
"$cxx" -std=c++17 -x c++ "${warnings[@]}" "$work/header.c"

echo "smoke: build the static library (debug)"
cargo build --locked --package otlp2iceberg-ffi --lib "$@"

echo "smoke: build smoke.c with AddressSanitizer and UndefinedBehaviorSanitizer"
"$cc" -std=c11 -g -O1 -Wall -Wextra -Wpedantic -Werror \
  -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
  -I "$header_directory" rust/ffi/smoke/smoke.c \
  "$target/debug/libotlp2iceberg_ffi.a" -lpthread -ldl -lm -o "$work/smoke"

echo "smoke: run"
mkdir "$work/warehouse"
LSAN_OPTIONS=suppressions=$PWD/rust/ffi/smoke/lsan.supp \
  ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 "$work/smoke" "$work/warehouse"
