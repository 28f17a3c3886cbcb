#!/usr/bin/env bash
# Runs every test: the linters, the unit and store tests with the race detector,
# and the end-to-end tests on the binary as it is shipped. Needs what tools.sh
# installs, and starts the PostgreSQL that the tests share.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh

if [[ -z ${CAUSEWAY_TEST_POSTGRES:-} ]]; then
	exec build/with-postgres.sh "$0" "$@"
fi

# go test's own limit for one package: past it, it shows what every goroutine
# waits for.
limit=40m
e2e=causeway/cmd/causeway/e2e

# All of go vet is part of this, so that go test needs none of it.
build/lint.sh

echo "test: go build, without cgo"
go build ./...

# The end-to-end tests wait more than they compute: they run beside all others, and
# what they print is shown after those. A process group of their own, for the one
# signal that ends them when something else fails or somebody interrupts.
echo "test: end to end, beside the following"
output=$(mktemp)
set -m
go test -vet=off -count=1 -timeout "$limit" "$e2e" >"$output" 2>&1 </dev/null &
beside=$!
set +m
cleanup() {
	trap - EXIT INT TERM
	kill -INT -- "-$beside" 2>/dev/null && wait "$beside" || true
	rm -f "$output"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "test: units and stores, with the race detector"
mapfile -t packages < <(go list ./... | grep -vx "$e2e")
CGO_ENABLED=1 go test "${race[@]}" -vet=off -short -timeout "$limit" "${packages[@]}"

# The packages that go through hundreds of generated rooms and damages: all of
# them without the detector, which makes it five times as long.
echo "test: generated rooms"
go test -vet=off -timeout "$limit" ./homeserver/room ./homeserver/stateres ./homeserver/roomgen ./homeserver/usersync ./homeserver/doctor

echo "test: authorisation rules against mautrix-go's"
build/differential.sh

# A module of its own, because of what LiveKit's types need.
echo "test: the wire types of calls against LiveKit's"
(cd sfu/signalling/compat && GOFLAGS= go test -vet=off ./...)

echo "test: end to end"
status=0
wait "$beside" || status=$?
cat "$output"
exit "$status"
