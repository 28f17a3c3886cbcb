#!/usr/bin/env bash
# with-postgres.sh [--durable] COMMAND [ARGUMENT]...: runs COMMAND with
# CAUSEWAY_TEST_POSTGRES naming a temporary PostgreSQL, and exits as COMMAND does.
# The server listens on a Unix socket only and ends with this script, also when
# that is interrupted or killed. It does not wait for the disk, unless it is to be
# durable, as for benchmarks. If the variable is set already, COMMAND uses that server.
set -euo pipefail

# Nothing here outlives the tests, so nothing needs to reach the disk.
settings=(-c fsync=off -c full_page_writes=off)
if [[ $1 == --durable ]]; then
	settings=()
	shift
fi

if [[ -n ${CAUSEWAY_TEST_POSTGRES:-} ]]; then
	exec "$@"
fi

die() {
	echo "with-postgres: $*" >&2
	exit 1
}

if initdb=$(command -v initdb); then
	bin=$(dirname "$(readlink -f "$initdb")")
else
	bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1) || die "initdb is missing: run 'make tools'"
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/causeway-pg-XXXXXX")
server=
job=
cleanup() {
	trap - EXIT INT TERM HUP
	if [[ -n $job ]]; then
		kill -INT -- "-$job" 2>/dev/null || true
		wait "$job" || true
	fi
	if [[ -n $server ]]; then
		kill -INT "$server" 2>/dev/null || true
		wait "$server" || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# PostgreSQL refuses to run as root. --pdeathsig is for the case that this script
# is killed and can clean nothing.
unprivileged=()
if [[ $(id -u) == 0 ]]; then
	chown postgres: "$dir"
	unprivileged=(--reuid=postgres --regid=postgres --init-groups)
fi

cd "$dir"
setpriv "${unprivileged[@]}" "$bin/initdb" -D "$dir/data" -U postgres --auth=trust --encoding=UTF8 --locale=C \
	--no-sync --no-instructions >"$dir/initdb.log" 2>&1 || die "initdb: $(cat "$dir/initdb.log")"
setpriv "${unprivileged[@]}" --pdeathsig INT "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= \
	"${settings[@]}" -c max_connections=300 -c shared_buffers=64MB >"$dir/log" 2>&1 &
server=$!
cd "$OLDPWD"

until "$bin/pg_isready" -q -h "$dir" -U postgres; do
	kill -0 "$server" 2>/dev/null || die "PostgreSQL did not start: $(cat "$dir/log")"
	read -r -t 0.1 <> <(:) || true
done

export CAUSEWAY_TEST_POSTGRES="postgres:///postgres?host=$dir&user=postgres"
# In a process group of its own, so that an interruption reaches all that the
# command started, and this script can wait for it.
set -m
"$@" </dev/null &
job=$!
set +m
status=0
wait "$job" || status=$?
job=
exit "$status"
