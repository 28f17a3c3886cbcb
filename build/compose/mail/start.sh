#!/bin/sh
# Runs both servers until one of them ends or the container is stopped.
set -eu
chown mail:mail /var/mail
dovecot -F &
dovecot=$!
postfix start-fg &
postfix=$!
trap 'kill "$dovecot" "$postfix" 2>/dev/null; wait' TERM INT EXIT
while kill -0 "$dovecot" 2>/dev/null && kill -0 "$postfix" 2>/dev/null; do
	sleep 1 &
	wait $!
done
