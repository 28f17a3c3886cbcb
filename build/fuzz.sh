#!/usr/bin/env bash
# Runs each fuzz test for a while, FUZZTIME (default 30s) each: go test fuzzes
# one at a time. What one finds is kept by Go in testdata/fuzz of its package:
# commit it with the correction.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh

count=0
for package in $(go list ./... | grep -vx causeway/cmd/causeway/e2e); do
	for fuzz in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz: $package $fuzz"
		go test -run '^$' -fuzz "^$fuzz\$" -fuzztime "${FUZZTIME:-30s}" "$package"
		count=$((count + 1))
	done
done
echo "fuzz: $count fuzz tests found nothing"
