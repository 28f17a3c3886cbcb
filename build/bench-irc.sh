#!/usr/bin/env bash
# Prints the tables of the bridge to IRC in docs/benchmarks.md for this machine. The first argument chooses some of them, as
# go test -run does: FiguresOfLines, FiguresOfMemory, FiguresOfReturn. Profiles of memory are left in FIGURES_PROFILES, if that
# names a folder.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh

if [[ -z ${CAUSEWAY_TEST_POSTGRES:-} ]]; then
	exec build/with-postgres.sh --durable "$0" "$@"
fi

FIGURES=full go test -count=1 -timeout 3h -v -run "${1:-Figures}" ./cmd/causeway/e2e |
	sed -uEn 's/^ *figures[a-z_]*\.go:[0-9]+: (\|.*)/\1/p; /^(--- |FAIL|ok|panic)/p; /no .*: saw|was .*lost/p'
