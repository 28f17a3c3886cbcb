package store

import (
	"fmt"
	"slices"
	"strings"

	"causeway/homeserver/sqldb"
)

// AuditOrphans are rows of a table that refer to what is not there.
type AuditOrphans struct {
	Table   string
	Missing string   // what is not there: "room", "event", …
	Count   int64    // how many rows
	Rows    []string // some of them, by their keys
}

// orphanRule says of a table x what its rows refer to.
type orphanRule struct {
	table, key, missing, absent string
}

const (
	noRoom  = `NOT EXISTS (SELECT 1 FROM rooms y WHERE y.nid = x.room_nid)`
	noEvent = `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.event_nid)`
	noUser  = `NOT EXISTS (SELECT 1 FROM users y WHERE y.nid = x.user_nid)`
	// In a room that is being purged, what is to go goes in no order.
	notPurging = `NOT EXISTS (SELECT 1 FROM rooms p WHERE p.nid = x.room_nid AND p.purging = 1)`
	noDevice   = `NOT EXISTS (SELECT 1 FROM devices y WHERE y.user_nid = x.user_nid AND y.device_id = x.device_id)`
	// Of what is signed or signs: there is nothing to sign otherwise.
	noDeviceKeys = `NOT EXISTS (SELECT 1 FROM device_keys y WHERE y.user_nid = x.user_nid AND y.device_id = x.device_id)`
	noMaster     = `NOT EXISTS (SELECT 1 FROM cross_signing_keys y WHERE y.user_nid = x.user_nid AND y.usage = 'master')`
	noString     = `NOT EXISTS (SELECT 1 FROM strings y WHERE y.nid = x.user_nid)`
)

// orphanRules are of all tables with rows that refer to others. In a room that is being purged, an edge goes with the event before it,
// and what redacted events said goes last.
var orphanRules = []orphanRule{
	{"events", "event_id", "room", noRoom},
	{"edges", "prev_nid, event_nid", "event", noEvent + ` AND NOT EXISTS (SELECT 1 FROM events y JOIN rooms p ON p.nid = y.room_nid
		WHERE y.nid = x.prev_nid AND p.purging = 1)`},
	{"edges", "prev_nid, event_nid", "previous event", `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.prev_nid)`},
	{"event_auth", "event_nid", "state event", `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.event_nid AND y.state_key_nid IS NOT NULL)`},
	{"extremities", "room_nid, event_nid", "room", noRoom},
	{"gaps", "event_nid, prev", "room", noRoom},
	{"state_sets", "id", "room", noRoom},
	{"room_states", "room_nid, pos", "room", noRoom},
	{"current_state", "room_nid, event_nid", "room", noRoom},
	{"memberships", "room_nid, user_nid", "room", noRoom},
	{"memberships", "room_nid, user_nid", "user id", noString},
	{"redacted_originals", "event_nid", "redacted event", `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.event_nid
		AND y.room_nid = x.room_nid AND y.redacted_by IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM rooms p WHERE p.nid = x.room_nid AND p.purging = 1)`},
	{"awaited_redactions", "target, redaction_nid", "redaction", `NOT EXISTS (SELECT 1 FROM events y
		WHERE y.nid = x.redaction_nid AND y.room_nid = x.room_nid)`},
	{"relations", "event_nid", "event", `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.event_nid AND y.room_nid = x.room_nid)`},
	{"relations", "event_nid, parent_nid", "event that it relates to", `x.parent_nid <> 0 AND NOT EXISTS (SELECT 1 FROM events y
		WHERE y.nid = x.parent_nid AND y.room_nid = x.room_nid) AND ` + notPurging},
	{"threads", "root_nid", "event that it begins with", `NOT EXISTS (SELECT 1 FROM events y WHERE y.nid = x.root_nid
		AND y.room_nid = x.room_nid)`},
	{"push_actions", "room_nid, pos", "event", `NOT EXISTS (SELECT 1 FROM events y WHERE y.room_nid = x.room_nid AND y.pos = x.pos)
		AND NOT EXISTS (SELECT 1 FROM rooms p WHERE p.nid = x.room_nid AND p.purging = 1)`},
	{"push_actions", "room_nid, pos", "thread", `x.thread_nid <> 0 AND NOT EXISTS (SELECT 1 FROM strings y WHERE y.nid = x.thread_nid)`},
	{"aliases", "alias", "room", noRoom},
	{"directory", "network, room_nid", "room", noRoom},
	{"users", "nid", "user id", `NOT EXISTS (SELECT 1 FROM strings y WHERE y.nid = x.nid)`},
	{"devices", "user_nid, device_id", "user", noUser},
	{"devices", "user_nid, device_id", "OAuth client", `x.oauth_client IS NOT NULL AND NOT EXISTS (SELECT 1 FROM oauth_clients y WHERE y.id = x.oauth_client)`},
	{"oauth_codes", "user_nid, client", "user", noUser},
	{"oauth_device_codes", "client, device_id", "user", `x.user_nid IS NOT NULL AND ` + noUser},
	{"browser_sessions", "user_nid", "user", noUser},
	{"sso_links", "issuer, subject", "user", noUser},
	{"access_tokens", "user_nid, device_id", "device", noDevice},
	{"refresh_tokens", "user_nid, device_id", "device", noDevice},
	{"device_keys", "user_nid, device_id", "device", noDevice},
	{"one_time_keys", "user_nid, device_id, algorithm, key_id", "device", noDevice},
	{"fallback_keys", "user_nid, device_id, algorithm", "device", noDevice},
	{"key_counts", "user_nid, device_id", "device", noDevice},
	{"device_changes", "user_nid", "user id", noString},
	{"key_backups", "user_nid, version", "user", noUser},
	{"key_backups", "user_nid, version", "version that is the newest or older", `NOT EXISTS (SELECT 1 FROM key_backup_versions y
		WHERE y.user_nid = x.user_nid AND y.newest >= x.version)`},
	{"key_backups", "user_nid, version", "number of keys that is counted", `x.count <> (SELECT COUNT(*) FROM key_backup_keys y
		WHERE y.keys_nid = x.keys_nid)`},
	{"key_backup_versions", "user_nid", "user", noUser},
	{"key_backup_keys", "keys_nid, room_id, session_id", "backup", `NOT EXISTS (SELECT 1 FROM key_backups y WHERE y.keys_nid = x.keys_nid)
		AND NOT EXISTS (SELECT 1 FROM key_backup_doomed d WHERE d.keys_nid = x.keys_nid)`},
	{"key_backup_doomed", "keys_nid", "end of its backup", `EXISTS (SELECT 1 FROM key_backups y WHERE y.keys_nid = x.keys_nid)`},
	{"cross_signing_keys", "user_nid, usage", "user", noUser},
	{"cross_signing_keys", "user_nid, usage", "master key", `x.usage <> 'master' AND ` + noMaster},
	{"device_signatures", "user_nid, device_id", "device with keys", noDeviceKeys},
	{"device_signatures", "user_nid, device_id", "self-signing key", `NOT EXISTS (SELECT 1 FROM cross_signing_keys y
		WHERE y.user_nid = x.user_nid AND y.usage = 'self_signing')`},
	{"master_signatures", "user_nid, device_id", "device with keys", noDeviceKeys},
	{"master_signatures", "user_nid, device_id", "master key", noMaster},
	{"user_signatures", "signer_nid, user_nid", "master key", noMaster},
	{"user_signatures", "signer_nid, user_nid", "user-signing key", `NOT EXISTS (SELECT 1 FROM cross_signing_keys y
		WHERE y.user_nid = x.signer_nid AND y.usage = 'user_signing')`},
	{"signature_changes", "user_nid, about_nid", "user", noUser},
	{"signature_changes", "user_nid, about_nid", "user id", `NOT EXISTS (SELECT 1 FROM strings y WHERE y.nid = x.about_nid)`},
	{"dehydrated_devices", "user_nid, device_id", "device", noDevice},
	{"to_device", "user_nid, device_id, pos", "device", noDevice},
	{"to_device", "user_nid, device_id, pos", "user id", `NOT EXISTS (SELECT 1 FROM strings y WHERE y.nid = x.sender_nid)`},
	{"to_device_txns", "user_nid, device_id, txn_id", "user", noUser},
	{"account_data", "user_nid, type", "user", noUser},
	{"account_data", "user_nid, room_nid, type", "room", `x.room_nid <> 0 AND ` + noRoom},
	{"delayed_events", "delay_id", "user", noUser},
	{"delayed_events", "delay_id", "room", noRoom},
	{"reports", "nid", "user", noUser},
	{"reports", "nid", "room", `x.room_nid IS NOT NULL AND ` + noRoom},
	{"call_seats", "alias, identity", "room", noRoom},
	{"call_seats", "alias, identity", "user id", noString},
	{"openid_tokens", "user_nid", "user", noUser},
	{"login_tokens", "user_nid", "user", noUser},
	{"departures", "user_nid", "user", noUser},
	{"accepted_terms", "user_nid, policy", "user", noUser},
	{"threepids", "medium, address", "user", noUser},
	{"threepid_binds", "user_nid, medium, address", "user", noUser},
	{"threepid_sessions", "sid", "user", `x.user_nid <> 0 AND ` + noUser},
	{"profile_fields", "user_nid, name", "user", noUser},
	{"sticky_events", "event_nid", "event", noEvent},
	{"receipts", "room_nid, user_nid, type", "room", noRoom},
	{"receipts", "room_nid, user_nid, type", "user id", noString},
	{"receipts", "room_nid, user_nid, type", "event at its position", `EXISTS (SELECT 1 FROM events y WHERE y.event_id = x.event_id
		AND (y.room_nid <> x.room_nid OR x.event_pos <> 0 AND y.pos <> x.event_pos))`},
	{"thread_subscriptions", "room_nid, root, user_nid", "room", noRoom},
	{"thread_subscriptions", "room_nid, root, user_nid", "user", noUser},
	{"presence", "user_nid", "user id", noString},
	{"filters", "user_nid, filter_id", "user", noUser},
	{"user_words", "user_nid, word", "user", noUser},
	{"user_words_due", "user_nid", "user", noUser},
	{"sliding_connections", "nid", "user", noUser},
	{"sliding_rooms", "conn_nid, room_nid", "connection", `NOT EXISTS (SELECT 1 FROM sliding_connections y WHERE y.nid = x.conn_nid)`},
	{"sliding_rooms", "conn_nid, room_nid", "room", `x.room_nid <> 0 AND ` + noRoom},
	{"appservice_pending", "id", "application service", `NOT EXISTS (SELECT 1 FROM appservices y WHERE y.id = x.id)`},
}

// searchOrphans is the rule of the index of messages: it has nothing of what is not there, or was redacted.
func (tx *Tx) searchOrphans() orphanRule {
	key, doomed := "rowid", ` AND NOT EXISTS (SELECT 1 FROM search_doomed d WHERE d.pos = x.rowid)`
	if tx.Engine() == sqldb.Postgres {
		key, doomed = "pos", ""
	}
	return orphanRule{"search_index", key, "event that is not redacted", `NOT EXISTS (SELECT 1 FROM events y WHERE y.pos = x.` + key +
		` AND y.redacted_by IS NULL)` + doomed}
}

// AuditOrphans returns the rows that refer to what is not there: at most limit of each kind, and how many there are.
func (tx *Tx) AuditOrphans(limit int) ([]AuditOrphans, error) {
	var all []AuditOrphans
	for _, r := range append(slices.Clone(orphanRules), tx.searchOrphans()) {
		o := AuditOrphans{Table: r.table, Missing: r.missing}
		from := ` FROM ` + r.table + ` x WHERE ` + r.absent
		if _, err := tx.Row(`SELECT COUNT(*)`+from, nil, &o.Count); err != nil {
			return nil, fmt.Errorf("look for orphans in %s: %w", r.table, err)
		}
		if o.Count == 0 {
			continue
		}
		keys := strings.Split(r.key, ", ")
		err := tx.Query(`SELECT `+r.key+from+` ORDER BY `+r.key+` LIMIT `+atLeast(limit), nil, func(scan func(...any) error) error {
			values, into := make([]any, len(keys)), make([]any, len(keys))
			for i := range values {
				into[i] = &values[i]
			}
			if err := scan(into...); err != nil {
				return err
			}
			named := make([]string, len(keys))
			for i, key := range keys {
				if b, ok := values[i].([]byte); ok {
					values[i] = string(b)
				}
				named[i] = fmt.Sprintf("%s %v", key, values[i])
			}
			o.Rows = append(o.Rows, strings.Join(named, ", "))
			return nil
		})
		if err != nil {
			return nil, err
		}
		o.Rows = o.Rows[:min(len(o.Rows), limit)]
		all = append(all, o)
	}
	return all, nil
}
