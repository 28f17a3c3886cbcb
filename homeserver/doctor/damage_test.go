package doctor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/doctor"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// damage is what one statement does to a sound database.
type damage struct {
	name   string
	tables string // those that are put right again
	sql    string // with <names> of the patient's
	args   []any
	do     func(tx *store.Tx, room id.RoomID) error // instead of sql
	want   []doctor.Kind
	text   string // in one of the faults
}

var (
	garbage = []byte{0x80}
	noHash  = make([]byte, 16)
	huge    = strings.Repeat("x", 70_000)
)

var damages = []damage{
	{name: "an upgrade is not finished", tables: "chores", sql: `INSERT INTO chores (name) VALUES ('something')`, want: kinds(doctor.KindChores), text: "something"},
	{name: "another server's", tables: "server", sql: `UPDATE server SET name = 'other.example'`, want: kinds(doctor.KindServer), text: "other.example"},
	{name: "the counter is behind", tables: "stream", sql: `UPDATE stream SET pos = 5`, want: kinds(doctor.KindStream), text: "the counter is at 5"},
	{name: "no counter", tables: "stream", sql: `DELETE FROM stream`, want: kinds(doctor.KindStream), text: "has no row"},
	{name: "a position twice", tables: "events", sql: `UPDATE events SET pos = <elsewhere> WHERE nid = <message>`, want: kinds(doctor.KindOrphan, doctor.KindStream), text: "more than one event"},
	{name: "the secret is gone", tables: "secrets", sql: `DELETE FROM secrets`, want: kinds(doctor.KindStateSet), text: "secret"},

	{name: "edge from nowhere", tables: "edges", sql: `INSERT INTO edges (prev_nid, event_nid) VALUES (999999, <message>)`, want: kinds(doctor.KindOrphan), text: "the previous event is not there"},
	{name: "edge to nowhere", tables: "edges", sql: `INSERT INTO edges (prev_nid, event_nid) VALUES (<message>, 999999)`, want: kinds(doctor.KindOrphan), text: "the event is not there"},
	{name: "tip of no room", tables: "extremities", sql: `INSERT INTO extremities (room_nid, event_nid) VALUES (999999, <message>)`, want: kinds(doctor.KindOrphan), text: "the room is not there"},
	{name: "gap of no room", tables: "gaps", sql: `INSERT INTO gaps (event_nid, prev, room_nid) VALUES (<message>, '$x', 999999)`, want: kinds(doctor.KindOrphan)},
	{name: "auth events of nothing", tables: "event_auth", sql: `INSERT INTO event_auth (event_nid, auth) SELECT 999999, auth FROM event_auth WHERE event_nid = <topic>`, want: kinds(doctor.KindOrphan)},
	{name: "auth events of a message", tables: "event_auth", sql: `INSERT INTO event_auth (event_nid, auth) SELECT <message>, auth FROM event_auth WHERE event_nid = <topic>`, want: kinds(doctor.KindOrphan), text: "state event"},
	{name: "state of no room", tables: "room_states", sql: `INSERT INTO room_states (room_nid, pos, state_id) VALUES (999999, 1, 1)`, want: kinds(doctor.KindOrphan)},
	{name: "current state of no room", tables: "current_state", sql: `INSERT INTO current_state (room_nid, type_nid, state_key_nid, event_nid) VALUES (999999, 1, 1, 1)`, want: kinds(doctor.KindOrphan)},
	{name: "membership of no room", tables: "memberships", sql: `INSERT INTO memberships (user_nid, room_nid, membership, event_nid, pos) VALUES (<alice>, 999999, 'join', 1, 1)`, want: kinds(doctor.KindOrphan)},
	{name: "notification of nothing", tables: "push_actions", sql: `INSERT INTO push_actions (room_nid, pos, thread_nid, sender_nid, base) VALUES (<room>, 999999, 0, <alice>, 1)`, want: kinds(doctor.KindOrphan), text: "the event is not there"},
	{name: "notification in a thread without an id", tables: "push_actions", sql: `INSERT INTO push_actions (room_nid, pos, thread_nid, sender_nid, base) SELECT room_nid, MAX(pos), 999999, <alice>, 1 FROM events WHERE room_nid = <room> GROUP BY room_nid ON CONFLICT (room_nid, pos) DO UPDATE SET thread_nid = 999999`, want: kinds(doctor.KindOrphan), text: "the thread is not there"},
	{name: "alias of no room", tables: "aliases", sql: `UPDATE aliases SET room_nid = 999999`, want: kinds(doctor.KindOrphan), text: "#v10:test"},
	{name: "directory entry of no room", tables: "directory", sql: `INSERT INTO directory (network, room_nid) VALUES ('irc', 999999)`, want: kinds(doctor.KindOrphan), text: "network irc"},
	{name: "state set of no room", tables: "state_sets", sql: `INSERT INTO state_sets (id, room_nid, parent, seq, size, hash, entries) SELECT 3, 999999, parent, seq, size, hash, entries FROM state_sets WHERE id = <leaf>`, want: kinds(doctor.KindOrphan)},
	{name: "what a message said that was not redacted", tables: "redacted_originals", sql: `INSERT INTO redacted_originals (event_nid, room_nid, redacted_ts, json) VALUES (<message>, <room>, 1, '{}')`, want: kinds(doctor.KindOrphan)},
	{name: "awaited redaction that is none", tables: "awaited_redactions", sql: `INSERT INTO awaited_redactions (target, redaction_nid, room_nid) VALUES ('$x', 999999, <room>)`, want: kinds(doctor.KindOrphan)},
	{name: "user without an id", tables: "users", sql: `INSERT INTO users (nid, admin, created_ts) VALUES (999999, 0, 0)`, want: kinds(doctor.KindOrphan)},
	{name: "device of nobody", tables: "devices", sql: `INSERT INTO devices (user_nid, device_id, created_ts) VALUES (999999, 'D', 0)`, want: kinds(doctor.KindOrphan)},
	{name: "refresh token of no device", tables: "refresh_tokens", sql: `INSERT INTO refresh_tokens (hash, user_nid, device_id, client, created_ts, used) SELECT hash, user_nid, 'gone', '', 0, 0 FROM access_tokens LIMIT 1`, want: kinds(doctor.KindOrphan), text: "the device is not there"},
	{name: "cross-signing key of nobody", tables: "cross_signing_keys", sql: `INSERT INTO cross_signing_keys (user_nid, usage, public_key, json) VALUES (999999, 'master', 'k', '{}')`, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "cross-signing key without a master key", tables: "cross_signing_keys", sql: `INSERT INTO cross_signing_keys (user_nid, usage, public_key, json) VALUES (<alice>, 'self_signing', 'k', '{}')`, want: kinds(doctor.KindOrphan), text: "the master key is not there"},
	{name: "signature of no device", tables: "device_signatures", sql: `INSERT INTO device_signatures (user_nid, device_id, signature) VALUES (<alice>, 'gone', 's')`, want: kinds(doctor.KindOrphan), text: "device with keys"},
	{name: "signature by no self-signing key", tables: "device_signatures", sql: `INSERT INTO device_signatures (user_nid, device_id, signature) VALUES (<alice>, 'gone', 's')`, want: kinds(doctor.KindOrphan), text: "self-signing key"},
	{name: "signature of no master key", tables: "master_signatures", sql: `INSERT INTO master_signatures (user_nid, device_id, signature) VALUES (<alice>, 'gone', 's')`, want: kinds(doctor.KindOrphan), text: "the master key is not there"},
	{name: "signature by no device", tables: "master_signatures", sql: `INSERT INTO master_signatures (user_nid, device_id, signature) VALUES (<alice>, 'gone', 's')`, want: kinds(doctor.KindOrphan), text: "device with keys"},
	{name: "signature of nobody's master key", tables: "user_signatures", sql: `INSERT INTO user_signatures (signer_nid, user_nid, signature) VALUES (<alice>, 999999, 's')`, want: kinds(doctor.KindOrphan), text: "the master key is not there"},
	{name: "signature by no user-signing key", tables: "user_signatures", sql: `INSERT INTO user_signatures (signer_nid, user_nid, signature) VALUES (<alice>, <alice>, 's')`, want: kinds(doctor.KindOrphan), text: "user-signing key"},
	{name: "news of a signature for nobody", tables: "signature_changes", sql: `INSERT INTO signature_changes (user_nid, about_nid, pos) VALUES (999999, <alice>, 1)`, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "news of a signature of nobody", tables: "signature_changes", sql: `INSERT INTO signature_changes (user_nid, about_nid, pos) VALUES (<alice>, 999999, 1)`, want: kinds(doctor.KindOrphan), text: "the user id is not there"},
	{name: "dehydrated device that is none", tables: "dehydrated_devices", sql: `INSERT INTO dehydrated_devices (user_nid, device_id, data) VALUES (<alice>, 'gone', '{}')`, want: kinds(doctor.KindOrphan), text: "the device is not there"},
	{name: "token of no device", tables: "access_tokens", sql: `UPDATE access_tokens SET device_id = 'gone'`, want: kinds(doctor.KindOrphan), text: "the device is not there"},
	{name: "backup of nobody", tables: "key_backups key_backup_versions", sql: keyBackupRow("999999", 1, 0, 999999), want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "backup of a version that there never was", tables: "key_backups key_backup_versions", sql: keyBackupRow("<alice>", 1, 0, 999999), want: kinds(doctor.KindOrphan), text: "newest or older"},
	{name: "backup that is miscounted", tables: "key_backups key_backup_versions", sql: keyBackupRow("<alice>", 1, 7, 999999), want: kinds(doctor.KindOrphan), text: "number of keys"},
	{name: "versions of nobody's backups", tables: "key_backup_versions", sql: `INSERT INTO key_backup_versions (user_nid, newest) VALUES (999999, 1)`, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "key of no backup", tables: "key_backup_keys", sql: `INSERT INTO key_backup_keys (keys_nid, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data) VALUES (999999, '!r', 's', 0, 0, 0, '{}')`, want: kinds(doctor.KindOrphan), text: "the backup is not there"},
	{name: "account data of nobody", tables: "account_data", sql: `UPDATE account_data SET user_nid = 999999 WHERE room_nid = 0`, want: kinds(doctor.KindOrphan)},
	{name: "account data of no room", tables: "account_data", sql: `UPDATE account_data SET room_nid = 999999 WHERE room_nid <> 0`, want: kinds(doctor.KindOrphan)},
	{name: "receipt of no room", tables: "receipts", sql: `UPDATE receipts SET room_nid = 999999 WHERE type = 'm.read.private'`, want: kinds(doctor.KindOrphan), text: "the room is not there"},
	{name: "subscription to a thread of no room", tables: "thread_subscriptions", sql: `INSERT INTO thread_subscriptions (user_nid, room_nid, root, subscribed, automatic, pos) VALUES (<alice>, 999999, '$x', 1, 0, 1)`, want: kinds(doctor.KindOrphan), text: "the room is not there"},
	{name: "subscription of nobody to a thread", tables: "thread_subscriptions", sql: `INSERT INTO thread_subscriptions (user_nid, room_nid, root, subscribed, automatic, pos) VALUES (999999, <room>, '$x', 1, 0, 1)`, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "receipt of nobody", tables: "receipts", sql: `UPDATE receipts SET user_nid = 999999 WHERE type = 'm.read'`, want: kinds(doctor.KindOrphan), text: "the user id is not there"},
	{name: "receipt of another position", tables: "receipts", sql: `UPDATE receipts SET event_pos = event_pos - 1 WHERE type = 'm.read'`, want: kinds(doctor.KindOrphan), text: "event at its position"},
	{name: "presence of nobody", tables: "presence", sql: `UPDATE presence SET user_nid = 999999`, want: kinds(doctor.KindOrphan)},
	{name: "filter of nobody", tables: "filters", sql: `UPDATE filters SET user_nid = 999999`, want: kinds(doctor.KindOrphan)},
	{name: "delayed event of nobody", tables: "delayed_events", sql: delayedRow("999999", "<room>"), want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "delayed event of no room", tables: "delayed_events", sql: delayedRow("<alice>", "999999"), want: kinds(doctor.KindOrphan), text: "the room is not there"},
	{name: "report by nobody", tables: "reports", sql: `INSERT INTO reports (nid, ts, user_nid, reason) VALUES (1, 1, 999999, '')`, want: kinds(doctor.KindOrphan)},
	{name: "report of no room", tables: "reports", sql: `INSERT INTO reports (nid, ts, user_nid, room_nid, reason) VALUES (1, 1, <alice>, 999999, '')`, want: kinds(doctor.KindOrphan)},
	{name: "seat in a call of no room", tables: "call_seats", sql: callSeatRow("999999", "<alice>"), want: kinds(doctor.KindOrphan), text: "the room is not there"},
	{name: "seat of nobody in a call", tables: "call_seats", sql: callSeatRow("<room>", "999999"), want: kinds(doctor.KindOrphan), text: "the user id is not there"},
	{name: "OpenID token of nobody", tables: "openid_tokens", sql: `INSERT INTO openid_tokens (hash, user_nid, expires_ts) VALUES ($1, 999999, 1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan)},
	{name: "device of no OAuth client", tables: "devices", sql: `UPDATE devices SET oauth_client = 'gone'`, want: kinds(doctor.KindOrphan), text: "the OAuth client is not there"},
	{name: "authorization code of nobody", tables: "oauth_codes", sql: `INSERT INTO oauth_codes (hash, user_nid, device_id, client, scope, redirect_uri, challenge, expires_ts, used) VALUES ($1, 999999, 'D', 'c', '', '', '', 1, 0)`, args: []any{garbage}, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "device code of nobody", tables: "oauth_device_codes", sql: `INSERT INTO oauth_device_codes (hash, user_code, client, device_id, scope, state, user_nid, expires_ts, poll_ts, interval_ms) VALUES ($1, $1, 'c', 'D', '', 1, 999999, 1, 1, 1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "browser of nobody", tables: "browser_sessions", sql: `INSERT INTO browser_sessions (hash, user_nid, authenticated_ts, expires_ts) VALUES ($1, 999999, 1, 1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "link of nobody", tables: "sso_links", sql: `INSERT INTO sso_links (issuer, subject, user_nid, label, linked_ts) VALUES ('https://id.example', 'x', 999999, '', 1)`, want: kinds(doctor.KindOrphan), text: "the user is not there"},
	{name: "login token of nobody", tables: "login_tokens", sql: `INSERT INTO login_tokens (hash, user_nid, expires_ts) VALUES ($1, 999999, 1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan)},
	{name: "departure of nobody", tables: "departures", sql: `INSERT INTO departures (user_nid) VALUES (999999)`, want: kinds(doctor.KindOrphan)},
	{name: "terms that nobody accepted", tables: "accepted_terms", sql: `INSERT INTO accepted_terms (user_nid, policy, version, ts) VALUES (999999, 'x', '1', 1)`, want: kinds(doctor.KindOrphan)},
	{name: "address of nobody", tables: "threepids", sql: `INSERT INTO threepids (medium, address, user_nid, validated_ts, added_ts) VALUES ('email', 'a@example.org', 999999, 1, 1)`, want: kinds(doctor.KindOrphan), text: "medium email"},
	{name: "address of nobody at a service", tables: "threepid_binds", sql: `INSERT INTO threepid_binds (user_nid, medium, address, id_server) VALUES (999999, 'email', 'a@example.org', 'test')`, want: kinds(doctor.KindOrphan)},
	{name: "proof of nobody", tables: "threepid_sessions", sql: `INSERT INTO threepid_sessions (sid, purpose, medium, address, secret, user_nid, send_attempt, next_link, wrong, modified_ts) VALUES ('s', 'add', 'email', 'a@example.org', $1, 999999, 1, '', 0, 1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan), text: "sid s"},
	{name: "profile of nobody", tables: "profile_fields", sql: `INSERT INTO profile_fields (user_nid, name, value) VALUES (999999, 'm.tz', '""')`, want: kinds(doctor.KindOrphan), text: "m.tz"},
	{name: "sticky event that is none", tables: "sticky_events", sql: `INSERT INTO sticky_events (event_nid, room_nid, pos, expires_ts) VALUES (999999, <room>, 1, 1)`, want: kinds(doctor.KindOrphan)},
	{name: "transaction for no application service", tables: "appservice_pending", sql: `INSERT INTO appservice_pending (id, txn, upto, body) VALUES ('x', 1, 1, $1)`, args: []any{garbage}, want: kinds(doctor.KindOrphan), text: "application service"},

	{name: "unknown room version", tables: "rooms", sql: `UPDATE rooms SET version = '99' WHERE nid = <room>`, want: kinds(doctor.KindRoom), text: "99"},
	{name: "another room version", tables: "rooms", sql: `UPDATE rooms SET version = '9' WHERE nid = <room>`, want: kinds(doctor.KindRoom), text: `version "10"`},

	{name: "no JSON", tables: "events", sql: `UPDATE events SET json = '{' WHERE nid = <message>`, want: kinds(doctor.KindJSON)},
	{name: "not canonical", tables: "events", sql: `UPDATE events SET json = REPLACE(json, '{"auth', '{ "auth') WHERE nid = <message>`, want: kinds(doctor.KindJSON), text: "canonical"},
	{name: "too large", tables: "events", sql: `UPDATE events SET json = REPLACE(json, 'message 0', '` + huge + `') WHERE nid = <message>`, want: kinds(doctor.KindLimits)},
	{name: "the event was changed", tables: "events", sql: `UPDATE events SET json = REPLACE(json, '"m.room.message"', '"m.room.massage"') WHERE nid = <message>`, want: kinds(doctor.KindEventID)},
	{name: "the content was changed", tables: "events", sql: `UPDATE events SET json = REPLACE(json, 'message 0', 'message 9') WHERE nid = <message>`, want: kinds(doctor.KindContentHash)},
	{name: "wrong depth", tables: "events", sql: `UPDATE events SET depth = depth + 1 WHERE nid = <message>`, want: kinds(doctor.KindColumns), text: "its depth"},
	{name: "wrong time", tables: "events", sql: `UPDATE events SET origin_server_ts = 1 WHERE nid = <message>`, want: kinds(doctor.KindColumns), text: "its origin_server_ts"},
	{name: "wrong sender", tables: "events", sql: `UPDATE events SET sender_nid = <alice> WHERE nid = <message>`, want: kinds(doctor.KindColumns), text: "its sender_nid"},
	{name: "wrong type", tables: "events", sql: `UPDATE events SET type_nid = 999999 WHERE nid = <message>`, want: kinds(doctor.KindColumns), text: "its type_nid"},
	{name: "a text was changed", tables: "strings", sql: `UPDATE strings SET value = 'm.room.guest_excess' WHERE value = 'm.room.guest_access'`, want: kinds(doctor.KindColumns)},
	{name: "wrong signature", tables: "events", sql: `UPDATE events SET json = REPLACE(json, '"ed25519:test":"', '"ed25519:test":"AAAA') WHERE nid = <message>`, want: kinds(doctor.KindSignature)},
	{name: "no signature", tables: "events", sql: `UPDATE events SET json = REPLACE(json, '"signatures":{"test"', '"signatures":{"best"') WHERE nid = <message>`, want: kinds(doctor.KindSignature), text: "test has not signed it"},
	{name: "redacted, and all there", tables: "events", sql: `UPDATE events SET redacted_by = <redaction> WHERE nid = <message>`, want: kinds(doctor.KindRedaction), text: "still there"},
	{name: "redacted by nothing", tables: "events", sql: `UPDATE events SET redacted_by = 999999 WHERE nid = <redacted>`, want: kinds(doctor.KindRedaction), text: "is not there"},
	{name: "redacted by a message", tables: "events", sql: `UPDATE events SET redacted_by = <message> WHERE nid = <redacted>`, want: kinds(doctor.KindRedaction), text: "does not"},
	{name: "no position", tables: "events", sql: `UPDATE events SET pos = NULL WHERE nid = <message>`, want: kinds(doctor.KindOrphan, doctor.KindStatus), text: "nothing says why"},
	{name: "a position too many", tables: "events", sql: `UPDATE events SET status = 4 WHERE nid = <message>`, want: kinds(doctor.KindStatus)},
	{name: "replaces a message", tables: "events", sql: `UPDATE events SET replaces_nid = <message> WHERE nid = <topic>`, want: kinds(doctor.KindReference)},
	{name: "replaces an older one", tables: "events", sql: `UPDATE events SET replaces_nid = NULL WHERE nid = <topic>`, want: kinds(doctor.KindReference), text: "stood in its place"},
	{name: "replaces nothing", tables: "events", sql: `UPDATE events SET replaces_nid = 999999 WHERE nid = <topic>`, want: kinds(doctor.KindReference)},

	{name: "an edge is missing", tables: "edges", sql: `DELETE FROM edges WHERE event_nid = <message>`, want: kinds(doctor.KindEdges), text: "does not know"},
	{name: "an edge too many", tables: "edges", sql: `INSERT INTO edges (prev_nid, event_nid) VALUES (<create>, <message>)`, want: kinds(doctor.KindEdges), text: "does not say so"},
	{name: "an edge into another room", tables: "edges", sql: `INSERT INTO edges (prev_nid, event_nid) VALUES (<create>, <elsewhere>)`, want: kinds(doctor.KindEdges), text: "another room"},
	{name: "a mark too many", tables: "gaps", sql: `INSERT INTO gaps (event_nid, prev, room_nid) VALUES (<message>, '$x', <room>)`, want: kinds(doctor.KindGaps), text: "although"},
	{name: "the mark of a gap is gone", tables: "gaps", sql: `DELETE FROM gaps`, want: kinds(doctor.KindGaps), text: "is not marked"},
	{name: "no tips", tables: "extremities", sql: `DELETE FROM extremities WHERE room_nid = <room>`, want: kinds(doctor.KindExtremities), text: "nothing comes after it"},
	{name: "a tip too many", tables: "extremities", sql: `INSERT INTO extremities (room_nid, event_nid) VALUES (<room>, <message>)`, want: kinds(doctor.KindExtremities), text: "although events come after it"},
	{name: "a tip that is no event", tables: "extremities", sql: `INSERT INTO extremities (room_nid, event_nid) VALUES (<room>, 999999)`, want: kinds(doctor.KindExtremities)},
	{name: "the newest event is gone", tables: "events", sql: `DELETE FROM events WHERE nid = <last>`, want: kinds(doctor.KindExtremities, doctor.KindOrphan)},

	{name: "no auth events", tables: "event_auth", sql: `DELETE FROM event_auth WHERE event_nid = <topic>`, want: kinds(doctor.KindAuthEvents), text: "not in the table"},
	{name: "other auth events", tables: "event_auth", sql: `UPDATE event_auth SET auth = (SELECT auth FROM event_auth WHERE event_nid = <create>) WHERE event_nid = <topic>`, want: kinds(doctor.KindAuthEvents), text: "does not hold"},
	{name: "garbage for auth events", tables: "event_auth", sql: `UPDATE event_auth SET auth = $1 WHERE event_nid = <topic>`, args: []any{garbage}, want: kinds(doctor.KindAuthEvents), text: "cannot be read"},
	{name: "a forbidden event", tables: "events", sql: `UPDATE events SET status = 4 WHERE nid = <rejected>`, want: kinds(doctor.KindNotAllowed)},

	{name: "garbage for a state", tables: "state_sets", sql: `UPDATE state_sets SET entries = $1 WHERE id = <leaf>`, args: []any{garbage}, want: kinds(doctor.KindStateSet), text: "cannot be read"},
	{name: "a wrong hash", tables: "state_sets", sql: `UPDATE state_sets SET hash = $1 WHERE id = <leaf>`, args: []any{noHash}, want: kinds(doctor.KindStateSet), text: "hash"},
	{name: "a wrong size", tables: "state_sets", sql: `UPDATE state_sets SET size = size + 1 WHERE id = <leaf>`, want: kinds(doctor.KindStateSet), text: "places"},
	{name: "no such parent", tables: "state_sets", sql: `UPDATE state_sets SET parent = 999999 WHERE id = <leaf>`, want: kinds(doctor.KindStateSet), text: "999999"},
	{name: "a wrong step", tables: "state_sets", sql: `UPDATE state_sets SET seq = seq + 700 WHERE id = <leaf>`, want: kinds(doctor.KindStateSet), text: "step"},
	{name: "another state's entries", tables: "state_sets", sql: `UPDATE state_sets SET entries = (SELECT entries FROM state_sets WHERE id = <other leaf>) WHERE id = <leaf>`,
		want: kinds(doctor.KindCurrentState, doctor.KindMembership, doctor.KindStateAfter, doctor.KindStateSet)},
	{name: "a rejected event in a state", tables: "events", sql: `UPDATE events SET status = 2, pos = NULL WHERE nid = <topic>`, want: kinds(doctor.KindStateAfter, doctor.KindStateSet), text: "was rejected"},
	{name: "a state of no use", tables: "state_sets stream", do: func(tx *store.Tx, roomID id.RoomID) error {
		room, err := tx.Room(roomID)
		if err == nil {
			_, err = tx.InsertStateSet(room.NID, 0, store.StateSet{{Type: 1, Key: 1}: 1})
		}
		return err
	}, want: kinds(doctor.KindOrphanSet, doctor.KindStateSet), text: "nothing refers to"},

	{name: "a relation is missing", tables: "relations", sql: `DELETE FROM relations WHERE event_nid = <reply>`, want: kinds(doctor.KindRelation), text: "not in the table"},
	{name: "a relation too many", tables: "relations", sql: `INSERT INTO relations SELECT <message>, room_nid, parent_nid, awaits, 'x', type_nid, sender_nid, pos, origin_server_ts, fit, key_hash FROM relations WHERE event_nid = <reply>`,
		want: kinds(doctor.KindRelation), text: "relates to nothing"},
	{name: "a relation of another type", tables: "relations", sql: `UPDATE relations SET rel_type = 'x' WHERE event_nid = <reference>`, want: kinds(doctor.KindRelation), text: "the table says"},
	{name: "a relation to another", tables: "relations", sql: `UPDATE relations SET parent_nid = <message> WHERE event_nid = <reference>`, want: kinds(doctor.KindRelation), text: "the table says"},
	{name: "a relation to what is awaited", tables: "relations", sql: `UPDATE relations SET awaits = '$x', parent_nid = 0 WHERE event_nid = <reference>`, want: kinds(doctor.KindRelation)},
	{name: "a relation by nothing", tables: "relations", sql: `UPDATE relations SET event_nid = 999999 WHERE event_nid = <reference>`, want: kinds(doctor.KindOrphan, doctor.KindRelation), text: "the event is not there"},
	{name: "a relation to nothing", tables: "relations", sql: `UPDATE relations SET parent_nid = 999999 WHERE event_nid = <reference>`, want: kinds(doctor.KindOrphan, doctor.KindRelation), text: "that it relates to"},
	{name: "a thread is missing", tables: "threads", sql: `DELETE FROM threads WHERE room_nid = <room>`, want: kinds(doctor.KindRelation), text: "the thread of"},
	{name: "a thread is longer", tables: "threads", sql: `UPDATE threads SET events = events + 1 WHERE room_nid = <room>`, want: kinds(doctor.KindRelation), text: "the thread of"},
	{name: "a thread that is none", tables: "threads", sql: `INSERT INTO threads (root_nid, room_nid, latest, events) VALUES (<message>, <room>, 1, 1)`, want: kinds(doctor.KindRelation), text: "the thread of"},
	{name: "a thread of nothing", tables: "threads", sql: `INSERT INTO threads (root_nid, room_nid, latest, events) VALUES (999999, <room>, 1, 1)`, want: kinds(doctor.KindOrphan, doctor.KindRelation), text: "begins with"},

	{name: "another state before", tables: "events", sql: `UPDATE events SET state_before = <first set> WHERE nid = <topic>`, want: kinds(doctor.KindNotAllowed, doctor.KindReference, doctor.KindStateAfter, doctor.KindStateBefore)},
	{name: "no state before", tables: "events", sql: `UPDATE events SET state_before = 999999 WHERE nid = <message>`, want: kinds(doctor.KindStateBefore), text: "999999"},
	{name: "another state after", tables: "events", sql: `UPDATE events SET state_after = state_before WHERE nid = <topic>`, want: kinds(doctor.KindStateAfter, doctor.KindStateBefore)},
	{name: "a merge gone wrong", tables: "events", sql: `UPDATE events SET state_before = <branch set>, state_after = <branch set> WHERE nid = <merge>`, want: kinds(doctor.KindStateBefore)},

	{name: "another current state", tables: "rooms", sql: `UPDATE rooms SET state_id = <first set> WHERE nid = <room>`, want: kinds(doctor.KindCurrentState, doctor.KindMembership, doctor.KindRoomState)},
	{name: "no current state", tables: "rooms", sql: `UPDATE rooms SET state_id = 999999 WHERE nid = <room>`, want: kinds(doctor.KindCurrentState, doctor.KindRoomState), text: "is not there"},
	{name: "a place is missing", tables: "current_state", sql: `DELETE FROM current_state WHERE room_nid = <room> AND event_nid = <create>`, want: kinds(doctor.KindCurrentState), text: "not in the table"},
	{name: "a place too many", tables: "current_state", sql: `INSERT INTO current_state (room_nid, type_nid, state_key_nid, event_nid) VALUES (<room>, <alice>, <alice>, <create>)`, want: kinds(doctor.KindCurrentState), text: "not in the current state"},
	{name: "another membership", tables: "memberships", sql: `UPDATE memberships SET membership = 'join' WHERE room_nid = <room> AND membership = 'ban'`, want: kinds(doctor.KindMembership), text: `the event says "ban"`},
	{name: "by another event", tables: "memberships", sql: `UPDATE memberships SET event_nid = <create> WHERE room_nid = <room> AND membership = 'ban'`, want: kinds(doctor.KindMembership), text: "by another event"},
	{name: "no membership", tables: "memberships", sql: `DELETE FROM memberships WHERE room_nid = <room> AND membership = 'ban'`, want: kinds(doctor.KindMembership), text: "have no membership"},
	{name: "a membership too many", tables: "memberships", sql: `INSERT INTO memberships (user_nid, room_nid, membership, event_nid, pos) SELECT nid, <room>, 'join', 1, 1 FROM strings WHERE value = 'm.room.topic'`, want: kinds(doctor.KindMembership), text: "no event says so"},
	{name: "forgotten by a member", tables: "memberships", sql: `UPDATE memberships SET forgotten = 1 WHERE room_nid = <room> AND user_nid = <alice>`, want: kinds(doctor.KindMembership), text: "forgotten"},
	{name: "membership of no position", tables: "memberships", sql: `UPDATE memberships SET pos = 0 WHERE room_nid = <room> AND user_nid = <alice>`, want: kinds(doctor.KindMembership), text: "no position"},
	{name: "the newest state is missing", tables: "room_states", sql: `DELETE FROM room_states WHERE room_nid = <room> AND state_id = <leaf>`, want: kinds(doctor.KindRoomState), text: "the newest state"},
	{name: "a state before the room", tables: "room_states", sql: `INSERT INTO room_states (room_nid, pos, state_id) VALUES (<room>, 1, <first set>)`, want: kinds(doctor.KindRoomState), text: "no event before"},
	{name: "a state that is none", tables: "room_states", sql: `UPDATE room_states SET state_id = 999999 WHERE room_nid = <room> AND state_id = <first set>`, want: kinds(doctor.KindRoomState), text: "999999"},
}

func kinds(all ...doctor.Kind) []doctor.Kind { return all }

// patient is a sound database, with names for what is in it.
type patient struct {
	place
	t     *testing.T
	words *strings.Replacer
	room  id.RoomID
}

// seed makes a room that has gaps, messages that the state before them forbids, and merges of different states.
const seed = 5

func newPatient(t *testing.T, p place) *patient {
	t.Helper()
	w := newWorld(t, p.db)
	roomID := w.room("10")
	other := w.room("11")
	w.personal(roomID)
	w.put(w.alice, "/rooms/"+roomID+"/send/m.room.message/last", object{"body": "the last"})
	g := generate(t, 11, seed)
	receive(t, p.db, g, rand.New(rand.NewPCG(seed, 0)), 10)
	sound(t, p.db)
	var names []string
	number := func(name, query string, args ...any) {
		var n int64
		err := p.db.View(t.Context(), func(tx *store.Tx) error {
			found, err := tx.Row(query, args, &n)
			if err == nil && !found {
				t.Errorf("there is no %s", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, "<"+name+">", fmt.Sprint(n))
	}
	in := `SELECT e.nid FROM events e JOIN rooms r ON r.nid = e.room_nid WHERE r.room_id = $1 AND `
	number("room", `SELECT nid FROM rooms WHERE room_id = $1`, roomID)
	number("message", in+`json LIKE '%message 0%'`, roomID)
	number("elsewhere", in+`json LIKE '%message 0%'`, other)
	number("reply", in+`json LIKE '%about m.thread%' ORDER BY e.nid LIMIT 1`, roomID)
	number("reference", in+`json LIKE '%about m.reference%'`, roomID)
	number("last", in+`json LIKE '%the last%'`, roomID)
	number("topic", in+`json LIKE '%"topic":"two"%'`, roomID)
	number("create", in+`json LIKE '%"m.room.create"%' AND depth = 1`, roomID)
	number("redacted", in+`redacted_by IS NOT NULL ORDER BY e.nid LIMIT 1`, roomID)
	number("redaction", `SELECT redacted_by FROM events e JOIN rooms r ON r.nid = e.room_nid WHERE r.room_id = $1 AND redacted_by IS NOT NULL ORDER BY e.nid LIMIT 1`, roomID)
	number("alice", `SELECT nid FROM strings WHERE value = $1`, string(w.alice.ID))
	number("leaf", `SELECT state_id FROM rooms WHERE room_id = $1`, roomID)
	number("first set", `SELECT MIN(s.id) FROM state_sets s JOIN rooms r ON r.nid = s.room_nid WHERE r.room_id = $1`, roomID)
	number("other leaf", `SELECT e.state_before FROM rooms r JOIN events e ON e.state_after = r.state_id AND e.state_before <> e.state_after WHERE r.room_id = $1 ORDER BY e.nid LIMIT 1`, roomID)
	number("rejected", in+`status = 2 AND state_key_nid IS NULL ORDER BY e.nid LIMIT 1`, string(g.RoomID))
	merge := `FROM events e JOIN rooms r ON r.nid = e.room_nid JOIN edges x ON x.event_nid = e.nid JOIN events p ON p.nid = x.prev_nid
		WHERE r.room_id = $1 AND e.state_key_nid IS NULL AND e.status = 0 AND p.state_after <> e.state_before
		AND NOT EXISTS (SELECT 1 FROM gaps g WHERE g.event_nid = e.nid) AND EXISTS (SELECT 1 FROM edges y WHERE y.prev_nid = e.nid) ORDER BY e.nid, p.nid LIMIT 1`
	number("merge", `SELECT e.nid `+merge, string(g.RoomID))
	number("branch set", `SELECT p.state_after `+merge, string(g.RoomID))
	return &patient{place: p, t: t, words: strings.NewReplacer(names...), room: id.RoomID(roomID)}
}

// saved are the rows of a table.
type saved struct {
	table string
	rows  [][]any
}

func (p *patient) save(tables []string) (all []saved) {
	p.t.Helper()
	for _, table := range tables {
		s := saved{table: table}
		err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
			columns, err := columnsOf(tx, table)
			if err != nil {
				return err
			}
			return tx.Query(`SELECT `+strings.Join(columns, ", ")+` FROM `+table, nil, func(scan func(...any) error) error {
				row, into := make([]any, len(columns)), make([]any, len(columns))
				for i := range row {
					into[i] = &row[i]
				}
				s.rows = append(s.rows, row)
				err := scan(into...)
				for i := range row {
					if b, ok := row[i].([]byte); ok && b == nil {
						row[i] = []byte{} // the driver takes nil for NULL
					}
				}
				return err
			})
		})
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func (p *patient) restore(all []saved) {
	p.t.Helper()
	err := p.db.Write(p.t.Context(), func(tx *store.Tx) error {
		for _, s := range all {
			if _, err := tx.Exec(`DELETE FROM ` + s.table); err != nil {
				return err
			}
			columns, err := columnsOf(tx, s.table)
			if err != nil {
				return err
			}
			values := make([]string, len(columns))
			for i := range values {
				values[i] = fmt.Sprintf("$%d", i+1)
			}
			insert := `INSERT INTO ` + s.table + ` (` + strings.Join(columns, ", ") + `) VALUES (` + strings.Join(values, ", ") + `)`
			for _, row := range s.rows {
				if err := tx.Defer(insert, row...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func columnsOf(tx *store.Tx, table string) (all []string, err error) {
	query := `SELECT name FROM pragma_table_info($1)`
	if tx.Engine() == "postgres" {
		query = `SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`
	}
	err = tx.Query(query, []any{table}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		all = append(all, name)
		return err
	})
	return all, err
}

// hurt does a damage to the database.
func (p *patient) hurt(d damage) {
	p.t.Helper()
	err := p.db.Write(p.t.Context(), func(tx *store.Tx) error {
		if d.do != nil {
			return d.do(tx, p.room)
		}
		n, err := tx.Exec(p.words.Replace(d.sql), d.args...)
		if err == nil && n == 0 {
			p.t.Error("nothing was damaged")
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Every damage is found, and nothing else is.
func TestDamages(t *testing.T) {
	each(t, func(t *testing.T, where place) {
		p := newPatient(t, where)
		for i, d := range damages {
			if testing.Short() && i%8 != 0 {
				continue
			}
			t.Run(d.name, func(t *testing.T) {
				p.t = t
				before := p.save(strings.Fields(d.tables))
				defer p.restore(before)
				p.hurt(d)
				p.diagnose(d)
			})
		}
		p.t = t
		sound(t, p.db)
	})
}

// diagnose looks at a damaged database.
func (p *patient) diagnose(d damage) {
	p.t.Helper()
	r := examine(p.t, p.db)
	var found []doctor.Kind
	var told strings.Builder
	for _, f := range r.Faults {
		found = append(found, f.Kind)
		for _, e := range f.Examples {
			fmt.Fprintf(&told, "%s: %s\n", f.Kind, e)
		}
		if f.What == "" || f.Advice == "" {
			p.t.Errorf("nobody is told what %s is, or what to do", f.Kind)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, d.want) || !strings.Contains(told.String(), d.text) {
		p.t.Errorf("found %v\n%swant %v with %q", found, &told, d.want, d.text)
	}
}

func keyBackupRow(user string, version, count, keys int64) string {
	return fmt.Sprintf(`INSERT INTO key_backups (user_nid, version, algorithm, auth_data, keys_nid, etag, count, bytes) VALUES (%s, %d, 'a', '{}', %d, 0, %d, 0)`,
		user, version, keys, count)
}

func delayedRow(user, room string) string {
	return `INSERT INTO delayed_events (delay_id, nid, user_nid, room_nid, type, content, delay_ms, since_ts, send_ts, event_ts, device, appservice)
		VALUES ('x', 1, ` + user + `, ` + room + `, 'a.b', '{}', 1, 1, 2, 0, '', '')`
}

func callSeatRow(room, user string) string {
	return `INSERT INTO call_seats (alias, identity, room_nid, user_nid, device_id, legacy, until_ts, delay_ms) VALUES ('a', 'i', ` + room + `, ` + user + `, 'D', 0, 1, 0)`
}
