#!/usr/bin/env bash
# The demo: see tests/o2i/demo.py. `--help` names the options.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

python=$("$here/setup-venv.sh")
PYTHONPATH=$here exec "$python" -m o2i.demo "$@"
