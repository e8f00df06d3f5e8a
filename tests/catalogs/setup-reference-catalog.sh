#!/usr/bin/env bash
# Makes the reference Iceberg REST catalog of the tests and prints the folder that holds its jars and classes.
#
# It lives outside the clone, under a name that holds the hash of java/ and of the JDK's version, so that clones share it
# and a change makes a new one. Only the first run needs Maven. Safe to run at the same time from several places.
set -euo pipefail

here=$(cd "$(dirname "$0")/java" && pwd)
cache=${O2I_CACHE:-$HOME/.cache/otlp2iceberg}
java_home=${JAVA_HOME:-}
javac=${java_home:+$java_home/bin/}javac

command -v "$javac" >/dev/null || { echo "missing tool: javac (JDK 17 or later)" >&2; exit 1; }

hash=$({ "$javac" -version; cat "$here/pom.xml" "$here"/src/*.java; } 2>&1 | cksum | cut -d' ' -f1)
folder=$cache/reference-catalog-$hash

mkdir -p "$cache"
exec 9>"$folder.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -e "$folder/.complete" ]; then
    command -v mvn >/dev/null ||
        { echo "missing tool: mvn (Maven 3.6 or later, on Debian: apt install maven): it fetches the jars of the reference REST catalog" >&2; exit 1; }
    echo "setting up the reference REST catalog in $folder" >&2
    rm -rf "$folder"
    mkdir -p "$folder/classes"
    mvn --batch-mode -Dstyle.color=never --quiet --strict-checksums --file "$here/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$folder/jars" >&2
    "$javac" -Xlint:all -Xlint:-path -Xlint:-processing -Xlint:-classfile --release 17 \
        -classpath "$folder/jars/*" -d "$folder/classes" "$here"/src/*.java >&2
    touch "$folder/.complete"
fi
echo "$folder"
