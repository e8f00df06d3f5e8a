#!/usr/bin/env bash
# Measures how the cost of a commit and of planning a read grows with a table; writes bench/results/growth.md.
# Arguments go to growth.py, such as `--numbers 10,100,1000 --case "500 kept"`. Takes about 20 minutes.
#
# `--folder` should be on a common file system. ext4 without a journal, as on some virtual machines, checks each inode
# that was deleted in the last minutes before it creates a file, and this benchmark deletes a hundred files a second.
set -euo pipefail
cd "$(dirname "$0")/.."

# The same target directory as `make`.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${O2I_CACHE:-$HOME/.cache/otlp2iceberg}/target}
scripts/own-cache.sh

echo "building the growth benchmark (release)" >&2
cargo build --locked --release --package otlp2iceberg --example growth
python=$(tests/setup-venv.sh)
tests/spark/setup.sh >/dev/null
mkdir -p bench/results
PYTHONPATH=tests "$python" bench/growth.py "$CARGO_TARGET_DIR/release/examples/growth" "$@" | tee bench/results/growth.md
