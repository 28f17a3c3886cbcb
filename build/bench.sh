#!/usr/bin/env bash
# Prints the table of docs/benchmarks.md for this machine: a causeway of its own on
# each engine, PostgreSQL with the durability that it has by default. Arguments go
# to "causeway-bench suite".
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${CAUSEWAY_TEST_POSTGRES:-} ]]; then
	exec build/with-postgres.sh --durable "$0" "$@"
fi

exec bin/causeway-bench suite --binary bin/causeway --postgres "$CAUSEWAY_TEST_POSTGRES" "$@"
