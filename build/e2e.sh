#!/usr/bin/env bash
# Runs the end-to-end tests alone and names each. RUN chooses some of them, as
# go test -run does.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh
exec build/with-postgres.sh go test -count=1 -v -timeout 10m -run "${RUN:-}" ./cmd/causeway/e2e
