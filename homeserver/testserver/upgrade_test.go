package testserver_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"causeway/homeserver"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// beforeSessions is the last migration before accounts could expire, be deactivated, have addresses and cross-signing keys.
const beforeSessions = "0013"

// oldTables are what an account has in the database of that time.
var oldTables = map[string][]string{
	"stream": {"id", "pos"}, "strings": {"nid", "value"},
	"users":               {"nid", "password", "admin", "appservice", "created_ts", "displayname", "avatar_url", "guest"},
	"devices":             {"user_nid", "device_id", "display_name", "created_ts"},
	"access_tokens":       {"hash", "user_nid", "device_id", "created_ts"},
	"registration_tokens": {"token", "uses_allowed", "uses", "expires_ts", "admin", "first", "created_ts"},
	"account_data":        {"user_nid", "room_nid", "type", "content", "pos", "deleted"},
	"device_keys":         {"user_nid", "device_id", "json"},
	"one_time_keys":       {"user_nid", "device_id", "algorithm", "key_id", "json", "pos", "claimed"},
	"fallback_keys":       {"user_nid", "device_id", "algorithm", "key_id", "json", "used"},
	"key_counts":          {"user_nid", "device_id", "pos", "one_time", "fallback"},
	"device_changes":      {"user_nid", "pos"},
	"to_device":           {"pos", "user_nid", "device_id", "sender_nid", "type", "content", "ts"},
	"openid_tokens":       {"hash", "user_nid", "expires_ts"},
	"presence":            {"user_nid", "state", "status_msg", "last_active_ts", "pos"},
}

// oldMigrations are those up to beforeSessions.
func oldMigrations(t *testing.T) fs.FS {
	t.Helper()
	files := os.DirFS(filepath.Join("..", "store", "migrations"))
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	old := make(fstest.MapFS)
	for _, name := range names {
		if name[:len(beforeSessions)] > beforeSessions {
			continue
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		old["m/"+name] = &fstest.MapFile{Data: data}
	}
	return old
}

// copyTable copies the columns of a table.
func copyTable(from *store.Tx, to *sqldb.Tx, table string, columns []string) error {
	if _, err := to.Exec(`DELETE FROM ` + table); err != nil {
		return err
	}
	places := make([]string, len(columns))
	for i := range columns {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	insert := `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES (` + strings.Join(places, ", ") + `)`
	return from.Query(`SELECT `+strings.Join(columns, ", ")+` FROM `+table, nil, func(scan func(...any) error) error {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := scan(targets...); err != nil {
			return err
		}
		_, err := to.Exec(insert, values...)
		return err
	})
}

// makeOld makes a database of that time at target, with the accounts of db.
func makeOld(t *testing.T, db *store.DB, target string) {
	t.Helper()
	ctx := context.Background()
	old, err := sqldb.Open(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Migrate(ctx, oldMigrations(t), "m"); err != nil {
		t.Fatal(err)
	}
	err = db.View(ctx, func(from *store.Tx) error {
		return old.Write(ctx, func(to *sqldb.Tx) error {
			for table, columns := range oldTables {
				if err := copyTable(from, to, table, columns); err != nil {
					return fmt.Errorf("%s: %w", table, err)
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUpgradeOfAccounts opens a database from before there were sessions that end, addresses and cross-signing keys: who was there goes on,
// and does what has come since.
func TestUpgradeOfAccounts(t *testing.T) {
	for engine, target := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "old.db") },
		"postgres": func(t *testing.T) string { return storetest.PostgresURL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			before := newScript(t, storetest.New(t), []string{"alice", "bob"}, withGuests)
			before.devices("alice", "bob")
			v := before.get("nobody POST /register?kind=guest", `{}`)
			before.tokens["guest"] = textAt(t, v, "access_token")
			before.get("alice POST /keys/upload", `{"device_keys":`+before.deviceKeys("alice", "1")+`,"one_time_keys":{"signed_curve25519:1":`+before.signedKey("alice", "one")+`},
				"fallback_keys":{"signed_curve25519:f":`+before.signedKey("alice", "last")+`}}`)
			before.get("alice PUT /user/<alice>/account_data/a.b", `{"x":1}`)
			before.get("bob PUT /sendToDevice/a.b/1", `{"messages":{"<alice>":{"*":{"said":"before"}}}}`)
			where := target(t)
			makeOld(t, before.DB, where)

			db, err := store.Open(t.Context(), where)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			s := newScript(t, db, nil, withGuests, func(c *homeserver.Config) { c.Sessions.AccessTokenLifetime = 1 << 40 })
			s.tokens, s.words = before.tokens, before.words
			s.run(oldAccountSteps)
		})
	}
}

var oldAccountSteps = []step{
	{name: "the old token", request: "alice GET /account/whoami", status: 200, want: "user_id=<alice> device_id=<alice device> is_guest=false"},
	{name: "a guest", request: "guest GET /account/whoami", status: 200, want: "is_guest=true"},
	{name: "what waits", request: "alice GET /sync", status: 200, want: "to_device/events/0/content/said=before device_one_time_keys_count/signed_curve25519=1"},
	{name: "the device, which was not seen then", request: "alice GET /devices", status: 200, want: "devices/0/device_id=<alice device>"},
	{name: "its keys", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>/<alice device>/signatures:object"},
	{name: "a key", request: "bob POST /keys/claim", body: `{"one_time_keys":{"<alice>":{"<alice device>":"signed_curve25519"}}}`, status: 200, want: "one_time_keys/<alice>/<alice device>/signed_curve25519:1:object"},
	{name: "the last key", request: "bob POST /keys/claim", body: `{"one_time_keys":{"<alice>":{"<alice device>":"signed_curve25519"}}}`, status: 200, want: "one_time_keys/<alice>/<alice device>/signed_curve25519:f:object"},
	{name: "account data", request: "alice GET /user/<alice>/account_data/a.b", status: 200, want: "x=1"},
	{name: "log in with the password", request: "nobody POST /login", body: `{"type":"m.login.password","user":"alice","password":"correct horse battery","device_id":"NEW","refresh_token":true}`, status: 200, want: "refresh_token:string", keep: "refresh=refresh_token"},
	{name: "refresh", request: "nobody POST /refresh", body: `{"refresh_token":"<refresh>"}`, status: 200, want: "access_token:string", keep: "token fresh=access_token"},
	{name: "with the new token", request: "fresh GET /account/whoami", status: 200, want: "device_id=NEW"},
	{name: "a token for another device", request: "alice POST /_matrix/client/v1/login/get_token", body: "{" + proof("alice") + "}", status: 200, want: "login_token:string"},
	{name: "a backup", request: "alice POST /room_keys/version", body: `{"algorithm":"a","auth_data":{}}`, status: 200, want: "version=1"},
	{name: "no addresses", request: "alice GET /account/3pid", status: 200, want: "threepids:empty"},
	{name: "delete a device", request: "alice DELETE /devices/NEW", body: "{" + proof("alice") + "}", status: 200, want: "{}"},
	{name: "its token", request: "fresh GET /account/whoami", status: 401, want: "M_UNKNOWN_TOKEN"},
	{name: "the end", request: "alice POST /account/deactivate", body: "{" + proof("alice") + "}", status: 200, want: "id_server_unbind_result=success"},
	{name: "the old token then", request: "alice GET /account/whoami", status: 401, want: "M_UNKNOWN_TOKEN"},
	{name: "bob goes on", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>={}"},
}
