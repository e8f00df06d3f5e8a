#!/usr/bin/env bash
# Packs a built Lambda program: dist/lambda/bootstrap and dist/lambda/otlp2iceberg-lambda-<arch>.zip, which also holds
# what third-party.py has put into dist/lambda: LICENSE and THIRD-PARTY-NOTICES.txt.
# Usage: package-lambda.sh <program> <arch: arm64 or x86_64>
#
# The same program and texts give the same zip, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$1 arch=$2
zip_bytes_max=6000000
# The glibc version of the runtime provided.al2023.
glibc_max=2.34

for file in LICENSE THIRD-PARTY-NOTICES.txt; do
  [ -f "dist/lambda/$file" ] || { echo "dist/lambda/$file is missing: make lambda makes it" >&2; exit 1; }
done
cp "$program" dist/lambda/bootstrap
# Removes symbols, unwind tables, which are unused (panic = "abort"), and compiler names: a quarter of the program.
# Rust's component llvm-tools supports every architecture, the host's binutils usually only that of the host.
case "$(uname -m)-$arch" in
  x86_64-arm64) tools=aarch64-linux-gnu- ;;
  aarch64-x86_64 | arm64-x86_64) tools=x86_64-linux-gnu- ;;
  *) tools= ;;
esac
llvm=$(find "$(rustc --print sysroot)/lib/rustlib" -name llvm-objcopy 2>/dev/null | head -1)
objcopy=$(command -v "${tools}objcopy" || command -v "${llvm:-llvm-objcopy}" || true)
if [ -z "$objcopy" ]; then
  echo "${tools}objcopy is missing, which makes the program small enough: install binutils for $arch, or run" \
    "rustup component add llvm-tools" >&2
  exit 1
fi
"$objcopy" --strip-all --remove-section .eh_frame --remove-section .eh_frame_hdr \
  --remove-section .gcc_except_table --remove-section .comment dist/lambda/bootstrap

if command -v readelf >/dev/null; then
  glibc=$(readelf --version-info --wide dist/lambda/bootstrap | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -1)
  if [ "$(printf '%s\n' "$glibc" "$glibc_max" | sort -V | tail -1)" != "$glibc_max" ]; then
    echo "dist/lambda/bootstrap needs glibc $glibc, and Lambda's provided.al2023 has $glibc_max: build on an older system," \
      "or with cargo-zigbuild: make lambda LAMBDA_TARGET=<x86_64 or aarch64>-unknown-linux-gnu.$glibc_max" >&2
    exit 1
  fi
else
  echo "readelf is missing: it was not checked that the program starts with glibc $glibc_max" >&2
fi

zip=dist/lambda/otlp2iceberg-lambda-$arch.zip
python3 - "$zip" <<'PYTHON'
import sys
import zipfile
from pathlib import Path

folder = Path("dist/lambda")
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name, mode in ("bootstrap", 0o755), ("LICENSE", 0o644), ("THIRD-PARTY-NOTICES.txt", 0o644):
        entry = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
        entry.external_attr = (0o100000 | mode) << 16
        entry.create_system = 3
        archive.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)
PYTHON

bytes=$(stat -c %s "$zip" 2>/dev/null || stat -f %z "$zip")
echo "$zip: $bytes bytes"
if [ "$bytes" -gt "$zip_bytes_max" ]; then
  echo "$zip is larger than $zip_bytes_max bytes" >&2
  exit 1
fi
