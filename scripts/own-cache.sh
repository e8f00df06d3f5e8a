#!/usr/bin/env bash
# Has a build cache that another clone filled last build this clone's crates anew. Cargo goes by the times of files, whose
# names it keeps relative to the clone: to an older clone, what a newer one built would seem fresh.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
stamp=$target/filled-by
here=$(pwd -P)
if [ "$(cat "$stamp" 2>/dev/null)" != "$here" ]; then
  find rust lambda bench -name '*.rs' -exec touch {} +
  mkdir -p "$target"
  printf '%s\n' "$here" >"$stamp"
fi
