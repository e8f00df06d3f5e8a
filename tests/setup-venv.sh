#!/usr/bin/env bash
# Makes the Python environment of the whole-system tests and prints the path of its interpreter.
#
# It lives outside the clone, under a name that holds the hash of requirements.txt and of the Python version, so that
# clones share it and a changed pin makes a new one. Safe to run at the same time from several places.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
cache=${O2I_CACHE:-$HOME/.cache/otlp2iceberg}

command -v "$python" >/dev/null || { echo "missing tool: $python (Python 3.11 or later)" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "$python is $("$python" --version 2>&1); Python 3.11 or later is needed" >&2; exit 1; }
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    { echo "missing: the venv module of $python (on Debian: apt install python3-venv)" >&2; exit 1; }

hash=$({ "$python" --version; cat "$here/requirements.txt"; } | cksum | cut -d' ' -f1)
venv=$cache/venv-$hash

mkdir -p "$cache"
exec 9>"$venv.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -e "$venv/.complete" ]; then
    echo "setting up Python packages in $venv" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --requirement "$here/requirements.txt" >&2
    "$venv/bin/python" -m pip check >&2
    touch "$venv/.complete"
fi
echo "$venv/bin/python"
