#!/usr/bin/env bash
# Runs the whole-system tests against dist/otelcol-iceberg; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"

python=$(./setup-venv.sh)
O2I_TELEMETRYGEN=$(./setup-telemetrygen.sh)
export O2I_TELEMETRYGEN
catalogs/setup-reference-catalog.sh >/dev/null
spark/setup.sh >/dev/null
PYTHONPATH=. "$python" -m o2i.corpus --check
exec "$python" -m pytest "$@"
