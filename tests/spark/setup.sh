#!/usr/bin/env bash
# Makes the Apache Spark of the tests and prints the folder that holds its Python packages and jars.
#
# It lives outside the clone, under a name that holds the hash of what it is made from, so that clones share it and a change
# makes a new one. Needs Java, no Maven. Safe to run at the same time from several places.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${O2I_CACHE:-$HOME/.cache/otlp2iceberg}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

command -v "$java" >/dev/null || { echo "missing tool: java (JDK 17 or 21, for Apache Spark)" >&2; exit 1; }

python=$("$here/../setup-venv.sh")
hash=$({ "$python" --version; cat "$here/requirements.txt" "$here/jars.txt"; } | cksum | cut -d' ' -f1)
folder=$cache/spark-$hash

exec 9>"$folder.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -e "$folder/.complete" ]; then
    echo "setting up Apache Spark in $folder (430 MB to fetch)" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
        --target "$folder/python" --requirement "$here/requirements.txt" >&2
    "$python" "$here/../catalogs/fetch_jars.py" "$here/jars.txt" "$folder/jars" >&2
    touch "$folder/.complete"
fi
echo "$folder"
