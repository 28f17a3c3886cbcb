#!/usr/bin/env bash
# Installs what the tests need beyond Go, if it is missing: a C compiler (for
# the race detector only), PostgreSQL, ngircd, InspIRCd, atheme, Postfix, coturn, iproute2, Chromium and npm from
# Debian, and the npm packages of the end-to-end tests. Says what it does, asks nothing, and fails if
# something cannot be had. A machine that has everything is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian keeps servers in sbin, which an ordinary user's PATH may leave out.
PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "tools: $*" >&2
	exit 1
}

as_root() {
	if [[ $(id -u) == 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "'$*' needs root, and there is no sudo: run it as root, then try again"
	fi
}

has_initdb() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

missing_packages() {
	command -v gcc >/dev/null && [[ -e /usr/include/stdlib.h ]] || echo gcc libc6-dev
	has_initdb || echo postgresql
	command -v ngircd >/dev/null || echo ngircd
	command -v atheme-services >/dev/null || echo atheme-services
	[[ -x /usr/bin/chromium ]] || echo chromium
	command -v postfix >/dev/null || echo postfix
	command -v turnserver >/dev/null || echo coturn
	command -v ip >/dev/null || echo iproute2
	if ! command -v node >/dev/null; then
		echo nodejs
	fi
	command -v npm >/dev/null || echo npm
}

# install_packages installs from Debian without letting the new servers start:
# the tests run their own, in folders and on ports of their own.
install_packages() {
	command -v apt-get >/dev/null || die "missing: $*. This is no Debian: install them by other means"
	echo "tools: installing $*"
	local policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
		trap "as_root rm -f $policy" EXIT
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"
	# Nor after the next boot: who only runs tests wants no servers.
	local package
	for package in "$@"; do
		case $package in
		postgresql | ngircd | postfix | atheme-services | coturn)
			if [[ -d /run/systemd/system ]]; then
				as_root systemctl disable --quiet "$package"
			fi
			;;
		esac
	done
}

# install_inspircd unpacks InspIRCd into the cache of this user, where the tests
# look for it: Debian does not install it beside ngircd.
install_inspircd() {
	local dir=${XDG_CACHE_HOME:-$HOME/.cache}/causeway/inspircd
	[[ -x $dir/usr/sbin/inspircd ]] && return
	command -v apt-get >/dev/null || die "missing: inspircd. This is no Debian: unpack it into $dir by other means"
	echo "tools: unpacking inspircd into $dir"
	local work
	work=$(mktemp -d)
	(cd "$work" && apt-get -q download inspircd) ||
		{ as_root apt-get -q update && (cd "$work" && apt-get -q download inspircd); }
	rm -rf "$dir"
	mkdir -p "$dir"
	dpkg -x "$work"/inspircd_*.deb "$dir"
	rm -rf "$work"
}

# install_modules installs exactly what package-lock.json lists.
install_modules() {
	local dir=cmd/causeway/e2e/testdata
	local installed=$dir/node_modules/.package-lock.json
	if [[ -e $installed && $installed -nt $dir/package-lock.json ]]; then
		return
	fi
	echo "tools: npm ci in $dir"
	# The node that runs npm may be older than the one that the packages ask
	# for, which is one of the packages: npm's warning says nothing new.
	npm ci --prefix "$dir" --no-audit --no-fund --loglevel=error
	touch "$installed"
}

command -v go >/dev/null || die "there is no go in PATH: install Go 1.26 or newer"
read -r -a packages <<<"$(missing_packages | tr '\n' ' ')"
if ((${#packages[@]})); then
	install_packages "${packages[@]}"
fi
has_initdb || die "PostgreSQL's initdb is still missing"
for tool in gcc ngircd atheme-services chromium postfix turnserver ip npm node; do
	command -v "$tool" >/dev/null || die "$tool is still missing"
done
install_inspircd
install_modules
