#!/usr/bin/env bash
# Packs a built Collector: <folder>/otelcol-iceberg_linux_<arch>.tar.gz, with the notices that belong to it, and with the
# unit and the configuration of docs/deployment.md. The archive is also the context that the container image is built in.
# Usage: package-collector.sh <arch: amd64 or arm64> [<folder with what make collector made, by default dist>]
#
# The same files give the same archive, byte for byte.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

case "${1:-}" in
  amd64 | arm64) ;;
  *)
    echo "usage: scripts/package-collector.sh amd64 | arm64 [<folder>]" >&2
    exit 2
    ;;
esac
folder=${2:-$root/dist}
for file in otelcol-iceberg LICENSE THIRD-PARTY-NOTICES.txt; do
  [ -f "$folder/$file" ] || { echo "$folder/$file is missing: make collector makes it" >&2; exit 1; }
done

archive=$folder/otelcol-iceberg_linux_$1.tar.gz
python3 - "$root" "$folder" "$archive" <<'PYTHON'
import gzip
import io
import sys
import tarfile
from pathlib import Path

root, folder, target = map(Path, sys.argv[1:])
plain, program = 0o644, 0o755
# Read before the archive is opened, which would otherwise be left behind without what is missing.
files = {
    name: (mode, (place / name).read_bytes())
    for name, place, mode in (
        ("LICENSE", folder, plain),
        ("THIRD-PARTY-NOTICES.txt", folder, plain),
        ("durable.yaml", root / "examples" / "collector", plain),
        ("otelcol-iceberg", folder, program),
        ("otelcol-iceberg.service", root / "examples" / "deploy", plain),
    )
}
# 2000-01-01, as in the Lambda's zip.
TIME = 946684800
with (
    target.open("wb") as output,
    gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=output, mtime=TIME) as packed,
    tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
):
    for name, (mode, content) in sorted(files.items()):
        # A new TarInfo belongs to root: owner and group are 0.
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(content), mode, TIME
        archive.addfile(entry, io.BytesIO(content))
PYTHON
echo "$archive: $(wc -c <"$archive") bytes"
