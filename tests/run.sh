#!/usr/bin/env bash
# Runs the whole-system tests against dist/otelcol-iceberg; arguments go to pytest.
# Without arguments, the deployment's tests run beside the others: they need about one core and share nothing with them.
set -euo pipefail
cd "$(dirname "$0")"

python=$(./setup-venv.sh)
O2I_TELEMETRYGEN=$(./setup-telemetrygen.sh)
export O2I_TELEMETRYGEN
catalogs/setup-reference-catalog.sh >/dev/null
spark/setup.sh >/dev/null
PYTHONPATH=. "$python" -m o2i.corpus --check
[ $# -eq 0 ] || exec "$python" -m pytest "$@"

# A free port is found some time before a Collector listens on it, so each run looks in its own range.
deploy_log=$(mktemp)
O2I_PORTS=15000-16000 "$python" -m pytest deploy >"$deploy_log" 2>&1 &
deploy=$!
O2I_PORTS=16000-32000 "$python" -m pytest --ignore=deploy &
others=$!
trap 'kill "$deploy" "$others" 2>/dev/null || true; wait; rm -f "$deploy_log"' EXIT
status=0
wait "$others" || status=$?
deploy_status=0
wait "$deploy" || deploy_status=$?
printf '\nThe tests of the deployment, which ran beside those:\n'
cat "$deploy_log"
[ "$deploy_status" -eq 0 ] || status=$deploy_status
exit "$status"
