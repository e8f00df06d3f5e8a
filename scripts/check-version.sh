#!/usr/bin/env bash
# Fails unless every file that names this project's version names the one of Cargo.toml.
#
#   check-version.sh [TAG]
#
# With a tag, such as v0.1.0, it also fails unless that is the version's tag, and CHANGELOG.md has the date of its
# release.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace\.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
wrong=0
say() {
  echo "check-version.sh: $1" >&2
  wrong=1
}

# names FILE SCRIPT: compares the versions that the sed script finds in a file, of which there has to be one at least.
names() {
  local found
  found=$(sed -nE "$2" "$1" | sort -u | paste -sd ' ')
  [ "$found" = "$version" ] || say "$1 names version ${found:-(none)}, Cargo.toml ${version:-(none)}"
}

for lock in Cargo.lock bench/Cargo.lock rust/fuzz/Cargo.lock; do
  names "$lock" '/^name = "otlp2iceberg(-faults|-ffi|-lambda)?"$/{n;s/^version = "(.*)"$/\1/p;}'
done
names builder-config.yaml 's/^  version: (.*)$/\1/p'
names CHANGELOG.md '/^## /{s/^## ([^ ]+).*$/\1/p;q;}'
# The container image of the examples.
image='s|^.*ghcr\.io/otlp2iceberg/otlp2iceberg/otelcol-iceberg:v([^ "@]+).*$|\1|p'
names examples/deploy/kubernetes.yaml "$image"
names docs/deployment.md "$image"
names examples/deploy/helm-values.yaml 's/^image: .*tag: v([^ },]+).*$/\1/p'

if [ $# -gt 0 ]; then
  [ "$1" = "v$version" ] || say "the tag is $1, the version ${version:-(none)}"
  heading=$(grep -m 1 '^## ' CHANGELOG.md || true)
  [[ $heading =~ \ \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$ ]] ||
    say "CHANGELOG.md has \"$heading\" where a release has its date: ## ${1#v} (2026-01-31)"
fi
exit $wrong
