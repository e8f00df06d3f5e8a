#!/usr/bin/env bash
# The demo: see tests/o2i/demo.py. `--help` names the options.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

python=$("$here/setup-venv.sh")
O2I_TELEMETRYGEN=$("$here/setup-telemetrygen.sh")
export O2I_TELEMETRYGEN
PYTHONPATH=$here exec "$python" -m o2i.demo "$@"
