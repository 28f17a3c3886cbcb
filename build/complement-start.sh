#!/usr/bin/env bash
# Starts a homeserver for Complement, the conformance tests of Matrix, in a
# container of theirs: the server's name is in SERVER_NAME, clients come to port
# 8008, and all data stays in /data, on which the server is started again after
# each snapshot. ROOM_VERSION is that of new rooms, by default 12. BINARY names
# ours, by default that of "make build". Everything is on that the tests may want
# to measure; those of threads take a name in a text for a mention. (A variable
# whose name begins with CAUSEWAY_ is one of the server's settings.)
set -euo pipefail

: "${SERVER_NAME:?is set by Complement}"
here=$(dirname "$(readlink -f "$0")")
binary=${BINARY:-$here/../bin/causeway}
data=/data

# The server makes no folder for registration files itself: without application
# services Complement has none either.
registrations=/complement/appservice
if [[ ! -d $registrations ]]; then
	registrations=$data/appservice
	mkdir -p "$registrations"
fi

# Other servers, and Complement's own, have certificates of its authority.
export SSL_CERT_FILE=/complement/ca/ca.crt

cat >"$data/causeway.yaml" <<-YAML
	server_name: $SERVER_NAME
	listen: ":8008"
	data_dir: $data
	default_room_version: "${ROOM_VERSION:-12}"
	registration:
	  open: true
	  guests: true
	  shared_secret: complement
	appservices:
	  dir: $registrations
	rate_limits:
	  enabled: false
	push:
	  legacy_mentions: true
	legacy:
	  query_tokens: true
	  events: true
	delayed_events:
	  max_scheduled: 1000
	experimental:
	  sticky_events: true
	log:
	  format: text
YAML

exec "$binary" serve --config "$data/causeway.yaml"
