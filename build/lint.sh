#!/usr/bin/env bash
# Fails on what gofmt, go vet or staticcheck has to say. staticcheck is a tool of
# go.mod, so its version is the same everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh

echo "lint: gofmt"
unformatted=$(find . -name node_modules -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
if [[ -n $unformatted ]]; then
	echo "lint: not as gofmt has it (run 'make fmt'):" >&2
	echo "$unformatted" >&2
	exit 1
fi
echo "lint: go vet"
go vet ./...
echo "lint: staticcheck"
go tool staticcheck ./...
