#!/usr/bin/env bash
# Compares our authorisation rules with those of mautrix-go on generated events.
# That package needs encoding/json/v2, which Go 1.26 has as an experiment, and the
# product does without.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh

if GOEXPERIMENT=jsonv2 go env GOVERSION >/dev/null 2>&1; then
	export GOEXPERIMENT=jsonv2
fi
exec go test -run '^TestDifferential' "$@" ./homeserver/eventauth
