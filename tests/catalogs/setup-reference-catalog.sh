#!/usr/bin/env bash
# Makes the reference Iceberg REST catalog of the tests and prints the folder that holds its jars and classes.
#
# It lives outside the clone, under a name that holds the hash of java/ and of the JDK's version, so that clones share it
# and a change makes a new one. Needs a JDK, no Maven. Safe to run at the same time from several places.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${O2I_CACHE:-$HOME/.cache/otlp2iceberg}
javac=${JAVA_HOME:+$JAVA_HOME/bin/}javac

command -v "$javac" >/dev/null || { echo "missing tool: javac (JDK 17 or later)" >&2; exit 1; }

hash=$({ "$javac" -version; cat "$here"/java/*; } 2>&1 | cksum | cut -d' ' -f1)
folder=$cache/reference-catalog-$hash

mkdir -p "$cache"
exec 9>"$folder.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -e "$folder/.complete" ]; then
    python=$("$here/../setup-venv.sh")
    echo "setting up the reference REST catalog in $folder (90 MB of jars)" >&2
    rm -rf "$folder"
    mkdir -p "$folder/classes"
    "$python" "$here/fetch_jars.py" "$here/java/jars.txt" "$folder/jars" >&2
    "$javac" -Xlint:all,-path,-processing,-classfile -Werror --release 17 \
        -classpath "$folder/jars/*" -d "$folder/classes" "$here"/java/*.java >&2
    touch "$folder/.complete"
fi
echo "$folder"
